//! Hooks: a program that is started, a line for a named pipe, a post to a webhook. When, in which
//! order, and what follows is the engine's to say.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::unistd::geteuid;

use super::outside::exec::Program;
use super::outside::{Aside, Doing, ending, http};
use crate::engine::{HookCall, HookEvent, HookTarget, ProbeResult};

/// Carries out one hook. The caller bounds how long that may take.
pub(crate) async fn carry_out(call: &HookCall, aside: &Aside, doing: &Doing) -> ProbeResult {
    let event = &call.event;
    match &call.target {
        HookTarget::Program { command, user, group } => {
            let program = Program {
                command: command.iter().cloned().chain(event.arguments()).collect(),
                user: user.clone(),
                group: group.clone(),
                environment: environment(event),
                input: json(event).into_bytes(),
            };
            ending::of(program, aside, doing).await
        }
        HookTarget::Fifo(path) => {
            doing.set(format!("opening {}", path.display()));
            result(write(path, event.line(), aside).await.map(|()| String::new()))
        }
        HookTarget::Webhook(url) => result(http::post(url, json(event), doing).await),
    }
}

/// What is wrong with a webhook that no server has to be asked about.
///
/// # Errors
/// What is wrong, for people.
pub(crate) fn usable(webhook: &str) -> Result<(), String> {
    http::usable("POST", webhook, None)
}

fn result(outcome: Result<String, String>) -> ProbeResult {
    match outcome {
        Ok(text) => ProbeResult::Passed(text),
        Err(reason) => ProbeResult::Failed(reason),
    }
}

/// The same as the arguments, for who would rather read it there.
fn environment(event: &HookEvent) -> Vec<(&'static str, String)> {
    let mut variables =
        vec![("VIPD_PHASE", event.phase().to_string()), ("VIPD_STATE", event.state().to_string())];
    variables.extend(match event {
        HookEvent::Instance(event) => [
            ("VIPD_INSTANCE", event.instance.to_string()),
            ("VIPD_INTERFACE", event.interface.to_string()),
            ("VIPD_PRIORITY", event.priority.to_string()),
            ("VIPD_ADDRESSES", event.addresses.join(" ")),
            ("VIPD_WHY", event.why.clone()),
        ],
        HookEvent::Group(event) => {
            let names: Vec<&str> = event.members.iter().map(|m| m.instance.as_str()).collect();
            let addresses: Vec<&str> =
                event.members.iter().flat_map(|m| &m.addresses).map(String::as_str).collect();
            [
                ("VIPD_GROUP", event.group.to_string()),
                ("VIPD_MEMBERS", names.join(" ")),
                ("VIPD_PRIORITY", event.priority.to_string()),
                ("VIPD_ADDRESSES", addresses.join(" ")),
                ("VIPD_WHY", event.why.clone()),
            ]
        }
    });
    variables
}

fn json(event: &HookEvent) -> String {
    // Names, numbers and text only: nothing that could fail.
    serde_json::to_string(event).unwrap_or_default()
}

/// Writes a line into a named pipe that somebody reads, and waits for nobody (`fifo(7)`).
async fn write(path: &Path, line: String, aside: &Aside) -> Result<(), String> {
    let pipe: PathBuf = path.to_owned();
    let written = aside.run(move || put(&pipe, &line)).await;
    written.map_err(|error| {
        let shown = path.display();
        match error.raw_os_error().map(Errno::from_raw) {
            Some(Errno::ENOENT) => format!("there is no pipe {shown}: mkfifo {shown}"),
            Some(Errno::ENXIO) => format!("nobody reads {shown}"),
            Some(Errno::ELOOP) => {
                format!(
                    "{shown} is a symbolic link, which root does not follow: name the pipe itself"
                )
            }
            Some(Errno::EAGAIN) => format!("{shown} is full: its reader does not keep up"),
            Some(errno) => format!("{shown}: {}", errno.desc()),
            None => format!("{shown}: {error}"),
        }
    })
}

fn put(path: &Path, line: &str) -> io::Result<()> {
    let mut flags = OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
    if geteuid().is_root() {
        // Whoever may write the directory could have root open a device.
        flags |= OFlag::O_NOFOLLOW;
    }
    let mut pipe = File::options().write(true).custom_flags(flags.bits()).open(path)?;
    if !pipe.metadata()?.file_type().is_fifo() {
        return Err(io::Error::other("it is no named pipe"));
    }
    // Shorter than PIPE_BUF, so all of it or nothing.
    pipe.write_all(line.as_bytes())
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use nix::sys::stat::Mode;
    use nix::unistd::mkfifo;

    use super::*;
    use crate::engine::story::StateName;
    use crate::engine::{GroupEvent, GroupMember, InstanceEvent};
    use crate::model::Phase;
    use crate::time::Span;

    fn event() -> HookEvent {
        HookEvent::Instance(InstanceEvent {
            phase: Phase::Script,
            instance: "web".try_into().unwrap(),
            node: Some("web1".try_into().unwrap()),
            interface: "eth0".try_into().unwrap(),
            virtual_router_id: 51.try_into().unwrap(),
            state: StateName::Active,
            priority: 200,
            addresses: vec!["10.0.0.100/24".to_owned()],
            why: "nobody heard for 3.2 s".to_owned(),
            active: None,
            time_ms: 1_800_000_000_000,
        })
    }

    fn of_group() -> HookEvent {
        let member = |name: &str, interface: &str, number: u8| GroupMember {
            instance: name.try_into().unwrap(),
            interface: interface.try_into().unwrap(),
            virtual_router_id: number.try_into().unwrap(),
            state: StateName::Active,
            addresses: vec![format!("10.0.{number}.100/24")],
            active: None,
        };
        HookEvent::Group(GroupEvent {
            phase: Phase::AfterClaim,
            group: "gateway".try_into().unwrap(),
            node: Some("gw1".try_into().unwrap()),
            state: StateName::Active,
            priority: 200,
            members: vec![member("wan", "eth0", 1), member("lan", "eth1", 2)],
            why: "nobody heard for 3.2 s".to_owned(),
            time_ms: 1_800_000_000_000,
        })
    }

    fn carried_out(target: HookTarget, event: HookEvent) -> ProbeResult {
        let call = HookCall { target, event, timeout: Span::from_secs(10) };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(carry_out(&call, &Aside::default(), &Doing::default()))
    }

    fn script(text: &str, event: HookEvent) -> ProbeResult {
        let command = ["/bin/sh", "-c", text, "sh", "mine"].map(str::to_owned).to_vec();
        let user = nix::unistd::User::from_uid(nix::unistd::geteuid()).unwrap().unwrap().name;
        carried_out(HookTarget::Program { command, user: Some(user), group: None }, event)
    }

    /// Rule: a program for keepalived finds its words behind its own arguments, the environment has
    /// them, too, and the standard input has the event as the documentation shows it.
    #[test]
    fn a_program_is_told_in_three_ways() {
        let passed = |text: &str| ProbeResult::Passed(text.to_owned());
        let script = |text| self::script(text, event());
        assert_eq!(script("echo $*"), passed("mine INSTANCE web MASTER 200"));
        let expected = "script web active 200 eth0 10.0.0.100/24 nobody heard for 3.2 s";
        let variables = "echo $VIPD_PHASE $VIPD_INSTANCE $VIPD_STATE $VIPD_PRIORITY \
                         $VIPD_INTERFACE $VIPD_ADDRESSES $VIPD_WHY";
        assert_eq!(script(variables), passed(expected));
        let json = r#"{"phase":"script","instance":"web","node":"web1","interface":"eth0","virtual_router_id":51,"state":"active","priority":200,"addresses":["10.0.0.100/24"],"why":"nobody heard for 3.2 s","active":null,"time_ms":1800000000000}"#;
        assert_eq!(script("cat"), passed(json));
        assert_eq!(script("exit 3"), ProbeResult::Failed("exit code 3".to_owned()));
    }

    /// Rule: the hook of a sync group gets keepalived's words for one, whose priority is 0, and what
    /// all of its members are.
    #[test]
    fn a_group_is_told_as_one() {
        let passed = |text: &str| ProbeResult::Passed(text.to_owned());
        let script = |text| self::script(text, of_group());
        assert_eq!(script("echo $*"), passed("mine GROUP gateway MASTER 0"));
        let expected = "after_claim gateway wan lan active 200 10.0.1.100/24 10.0.2.100/24 \
                        nobody heard for 3.2 s";
        let variables = "echo $VIPD_PHASE $VIPD_GROUP $VIPD_MEMBERS $VIPD_STATE $VIPD_PRIORITY \
                         $VIPD_ADDRESSES $VIPD_WHY$VIPD_INSTANCE";
        assert_eq!(script(variables), passed(expected));
        assert_eq!(of_group().line(), "GROUP \"gateway\" MASTER 0\n");
        let json = concat!(
            r#"{"phase":"after_claim","group":"gateway","node":"gw1","state":"active","priority":200,"#,
            r#""members":[{"instance":"wan","interface":"eth0","virtual_router_id":1,"#,
            r#""state":"active","addresses":["10.0.1.100/24"],"active":null},"#,
            r#"{"instance":"lan","interface":"eth1","virtual_router_id":2,"#,
            r#""state":"active","addresses":["10.0.2.100/24"],"active":null}],"#,
            r#""why":"nobody heard for 3.2 s","time_ms":1800000000000}"#
        );
        assert_eq!(super::json(&of_group()), json);
        assert_eq!(serde_json::from_str::<HookEvent>(json).unwrap(), of_group());
    }

    /// Rule: the reader of a pipe gets a whole line; no reader, no pipe and no pipe at all are named.
    #[test]
    fn a_pipe_gets_a_line() {
        let path = std::env::temp_dir().join(format!("vipd-fifo-{}", std::process::id()));
        let failed = |reason: String| ProbeResult::Failed(reason);
        let tell = || carried_out(HookTarget::Fifo(path.clone()), event());
        let shown = path.display();
        assert_eq!(tell(), failed(format!("there is no pipe {shown}: mkfifo {shown}")));
        mkfifo(&path, Mode::S_IRUSR | Mode::S_IWUSR).unwrap();
        assert_eq!(tell(), failed(format!("nobody reads {shown}")));
        let flags = OFlag::O_NONBLOCK.bits();
        let mut reader = File::options().read(true).custom_flags(flags).open(&path).unwrap();
        assert_eq!(tell(), ProbeResult::Passed(String::new()));
        let mut line = [0; 64];
        let length = reader.read(&mut line).unwrap();
        assert_eq!(&line[..length], b"INSTANCE \"web\" MASTER 200\n");
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, "").unwrap();
        assert_eq!(tell(), failed(format!("{shown}: it is no named pipe")));
        std::fs::remove_file(&path).unwrap();
    }
}
