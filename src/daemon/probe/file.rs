//! `file`: a file is there, is not there, or holds a number in a range.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use nix::libc::{O_NONBLOCK, S_IROTH};

use super::desk::Desk;
use crate::engine::ProbeResult;
use crate::model::{FileCondition, FileProbe};

/// How much of a file is read: the first word is a number, or there is no use in it.
const LONGEST: u64 = 256;

/// How much of a word that is no number is shown, in characters.
const SHOWN: usize = 40;

/// Looks once. A file system may not answer, and is asked aside.
pub(crate) async fn look(probe: &FileProbe, desk: &Desk) -> ProbeResult {
    let path = probe.path.clone();
    let shown = path.display().to_string();
    desk.doing.set(format!("the file system of {shown} does not answer"));
    let failed = |what: &str| ProbeResult::Failed(format!("{shown} {what}"));
    let FileCondition::Number { minimum, maximum } = probe.condition else {
        let wanted = probe.condition == FileCondition::Present;
        return match desk.aside.run(move || there(&path)).await {
            Ok(true) if wanted => ProbeResult::Passed(format!("{shown} is there")),
            Ok(false) if !wanted => ProbeResult::Passed(format!("{shown} is not there")),
            Ok(true) => failed("is there"),
            Ok(false) => failed("is not there"),
            Err(error) => failed(&format!("cannot be looked at: {error}")),
        };
    };
    match desk.aside.run(move || first_word(&path)).await {
        Ok(word) => match judge(&word, minimum, maximum) {
            Ok(number) => ProbeResult::Passed(format!("{shown} holds {number}")),
            Err(why) => failed(&why),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => failed("is not there"),
        Err(error) => failed(&format!("cannot be read: {error}")),
    }
}

fn there(path: &Path) -> io::Result<bool> {
    match fs::metadata(path) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

fn first_word(path: &Path) -> io::Result<String> {
    // Opening a FIFO would wait for a writer.
    let file = File::options().read(true).custom_flags(O_NONBLOCK).open(path)?;
    // Root may read what nobody else may, and everybody may read the status.
    let is_public = file.metadata()?.mode() & S_IROTH != 0;
    let mut bytes = Vec::new();
    file.take(LONGEST).read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    let word = text.split_whitespace().next().unwrap_or_default();
    if !is_public && !word.is_empty() && word.parse::<i64>().is_err() {
        return Err(io::Error::other("it does not begin with a whole number"));
    }
    Ok(word.to_owned())
}

/// Whether a word is a number in the range.
fn judge(word: &str, minimum: Option<i64>, maximum: Option<i64>) -> Result<i64, String> {
    if word.is_empty() {
        return Err("is empty, where a number was expected".to_owned());
    }
    let Ok(number) = word.parse::<i64>() else {
        let shown: String = word.chars().take(SHOWN).collect();
        return Err(format!("holds '{shown}', where a whole number was expected"));
    };
    match (minimum, maximum) {
        (Some(lowest), _) if number < lowest => Err(format!("holds {number}, below {lowest}")),
        (_, Some(highest)) if number > highest => Err(format!("holds {number}, above {highest}")),
        _ => Ok(number),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn looked(path: &Path, condition: FileCondition) -> Result<String, String> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let probe = FileProbe { path: path.to_owned(), condition };
        match runtime.block_on(look(&probe, &Desk::default())) {
            ProbeResult::Passed(text) => Ok(text),
            ProbeResult::Failed(text) => Err(text),
        }
    }

    /// Rule: both ends of the range pass; what is no number fails and is shown.
    #[test]
    fn numbers() {
        let range = |word| judge(word, Some(-1), Some(10));
        assert_eq!((range("-1"), range("10")), (Ok(-1), Ok(10)));
        assert_eq!(range("-2").unwrap_err(), "holds -2, below -1");
        assert_eq!(range("11").unwrap_err(), "holds 11, above 10");
        assert_eq!(range("1.5").unwrap_err(), "holds '1.5', where a whole number was expected");
        assert!(range("").unwrap_err().contains("empty"));
    }

    /// Rule: that a file is absent is an answer; that nobody can tell is a failure either way. A
    /// FIFO without a writer and an endless file are read like any other.
    #[test]
    fn files() {
        let missing = Path::new("/nonexistent/file");
        assert!(looked(missing, FileCondition::Absent).is_ok());
        let said = looked(missing, FileCondition::Present);
        assert_eq!(said.unwrap_err(), "/nonexistent/file is not there");
        let inside_a_file = Path::new("/etc/passwd/file");
        for condition in [FileCondition::Present, FileCondition::Absent] {
            let said = looked(inside_a_file, condition).unwrap_err();
            assert!(said.contains("cannot be looked at"), "{said}");
        }
        let number = FileCondition::Number { minimum: None, maximum: None };
        assert!(looked(Path::new("/dev/zero"), number).is_err());
        let fifo = std::env::temp_dir().join(format!("vipd-fifo-{}", std::process::id()));
        nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert!(looked(&fifo, number).unwrap_err().ends_with("a number was expected"));
        fs::remove_file(fifo).unwrap();
    }

    /// Bug guarded: a daemon that is root showed everybody the first word of a file that is root's
    /// alone, where a link led to it from a path that a check looks at.
    #[test]
    fn private_text_is_not_shown() {
        use std::os::unix::fs::PermissionsExt as _;

        let path = std::env::temp_dir().join(format!("vipd-private-{}", std::process::id()));
        fs::write(&path, "hunter2\n").unwrap();
        let number = FileCondition::Number { minimum: None, maximum: None };
        for (mode, shown) in [(0o600, false), (0o640, false), (0o644, true)] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let said = looked(&path, number).unwrap_err();
            assert_eq!(said.contains("hunter2"), shown, "{said}");
            assert!(said.contains("whole number"), "{said}");
        }
        fs::remove_file(path).unwrap();
    }
}
