//! `process`: a process runs (`proc(5)`).

use std::fs;
use std::io;
use std::sync::atomic::Ordering;

use super::desk::Desk;
use crate::engine::ProbeResult;
use crate::model::ProcessProbe;

/// Looks once. The process that was found last is looked at first, which is cheap; all the others
/// only when it is not the one any more.
pub(crate) async fn look(probe: &ProcessProbe, desk: &Desk) -> ProbeResult {
    let before = desk.process.load(Ordering::Relaxed);
    let wanted = probe.clone();
    let found = desk.aside.run(move || Ok(find(&wanted, before))).await;
    let found = match found {
        Ok(Ok(found)) => found,
        Ok(Err(error)) | Err(error) => {
            return ProbeResult::Failed(format!("/proc cannot be read: {error}"));
        }
    };
    desk.process.store(found.unwrap_or(0), Ordering::Relaxed);
    match found {
        Some(number) => ProbeResult::Passed(format!("process {number}")),
        None => ProbeResult::Failed(absent(probe)),
    }
}

fn absent(probe: &ProcessProbe) -> String {
    let what = match probe {
        ProcessProbe::Name(name) => format!("no process is called '{name}'"),
        ProcessProbe::CommandLine(text) => format!("no process has '{text}' in its command line"),
    };
    // The first process is somebody else's, and always there.
    let hidden = fs::read("/proc/1/stat").is_err();
    if hidden {
        format!("{what}; others' processes are hidden (ProtectProc= in the unit)")
    } else {
        what
    }
}

/// The process that was found before, if it is still the one, or else the first that is.
fn find(probe: &ProcessProbe, before: u32) -> io::Result<Option<u32>> {
    if before != 0 && is_one(probe, before) {
        return Ok(Some(before));
    }
    let numbers = fs::read_dir("/proc")?.filter_map(|entry| {
        let name = entry.ok()?.file_name();
        name.to_str()?.parse::<u32>().ok()
    });
    // The text that is looked for may stand in our own command line.
    let own = fs::read_link("/proc/self").ok().and_then(|own| own.to_str()?.parse::<u32>().ok());
    let mut others = numbers.filter(|number| Some(*number) != own);
    Ok(others.find(|number| is_one(probe, *number)))
}

/// Whether the process of this number is what is looked for, and lives. One that has ended
/// meanwhile is not.
pub(super) fn is_one(probe: &ProcessProbe, number: u32) -> bool {
    let file = match probe {
        ProcessProbe::Name(_) => "stat",
        // Of a zombie it is empty.
        ProcessProbe::CommandLine(_) => "cmdline",
    };
    let read = fs::read(format!("/proc/{number}/{file}")).unwrap_or_default();
    match probe {
        ProcessProbe::Name(name) => has_name(&read, name),
        ProcessProbe::CommandLine(text) => has_text(&read, text),
    }
}

/// `12 (name) S ...`: a name may hold parentheses itself (`proc_pid_stat(5)`).
fn has_name(stat: &[u8], name: &str) -> bool {
    let text = String::from_utf8_lossy(stat);
    let Some((front, rest)) = text.rsplit_once(") ") else { return false };
    let lives = !rest.starts_with(['Z', 'X', 'x']);
    lives && front.split_once(" (").is_some_and(|(_, found)| found == name)
}

/// Arguments that end with zero bytes (`proc_pid_cmdline(5)`).
fn has_text(command_line: &[u8], text: &str) -> bool {
    let line = String::from_utf8_lossy(command_line).replace('\0', " ");
    line.trim_end().contains(text)
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    /// Rule: the whole name counts, whatever stands in it; a zombie does not run.
    #[test]
    fn names() {
        assert!(has_name(b"7 (nginx) S 1 7", "nginx"));
        assert!(has_name(b"7 (a) b (c)) R 1 7", "a) b (c)"));
        assert!(!has_name(b"7 (nginx2) S 1 7", "nginx"));
        assert!(!has_name(b"7 (nginx) Z 1 7", "nginx"));
        assert!(!has_name(b"", "nginx"));
    }

    /// Rule: arguments are joined by blanks.
    #[test]
    fn command_lines() {
        assert!(has_text(b"python3\0-m\0http.server\0", "-m http.server"));
        assert!(!has_text(b"", "x"));
    }

    /// Rule: a process is found, remembered, and missed once it has ended, also while nobody has
    /// waited for it.
    #[test]
    fn a_real_process() {
        let probe = ProcessProbe::CommandLine("1000.0625".to_owned());
        let desk = Desk::default();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let looked = || runtime.block_on(look(&probe, &desk));
        let mut child = Command::new("sleep").arg("1000.0625").spawn().unwrap();
        let number = child.id();
        // The child may not have become the program yet.
        while looked() != ProbeResult::Passed(format!("process {number}")) {}
        assert_eq!(desk.process.load(Ordering::Relaxed), number);
        child.kill().unwrap();
        let start = std::time::Instant::now();
        while matches!(looked(), ProbeResult::Passed(_)) {
            assert!(start.elapsed().as_secs() < 10, "a dead process passes");
        }
        assert_eq!(desk.process.load(Ordering::Relaxed), 0);
        child.wait().unwrap();
    }
}
