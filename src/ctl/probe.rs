//! `vipctl probe`: what a check finds now.

use clap::Args;

use super::answer::ask;
use super::exit::Exit;
use super::options::{ConnectionOptions, track_name};
use super::told::Told;
use crate::api::{Probe, Probed, Request, Response};
use crate::engine::ProbeResult;
use crate::model::TrackName;

#[derive(Debug, Args)]
pub(super) struct Options {
    /// The check's name in the configuration
    #[arg(value_parser = track_name)]
    track: TrackName,
    #[command(flatten)]
    connection: ConnectionOptions,
}

/// Asks for a look and waits for what it finds.
pub(super) fn main(options: Options) -> Told {
    let Options { track, connection } = options;
    let what = format!("the look of the check {track}");
    let request = Request::Probe(Probe { track: track.clone() });
    ask(&connection, &request, &what, |response| tell(&track, response))
}

/// What a daemon's answer means.
fn tell(track: &TrackName, response: Response) -> Result<Told, Response> {
    let Response::Probe(Probed { result, took }) = response else { return Err(response) };
    Ok(match result {
        ProbeResult::Passed(text) if text.is_empty() => {
            Told::done(format!("check {track} passes, after {took}"))
        }
        ProbeResult::Passed(text) => {
            Told::done(format!("check {track} passes, after {took}: {text}"))
        }
        ProbeResult::Failed(text) => {
            Told::shown(Exit::Wrong, format!("check {track} fails, after {took}: {text}"))
        }
    })
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead as _, BufReader, Write as _};
    use std::os::unix::net::UnixListener;
    use std::thread;

    use super::super::cli::{Cli, Command};
    use super::*;
    use clap::Parser as _;

    /// What `vipctl probe db` tells where the daemon answers this, and what it has asked.
    fn probe(name: &str, answer: &'static str) -> (Exit, String, String) {
        let path = std::env::temp_dir().join(format!("vipctl-{}-{name}", std::process::id()));
        let listener = UnixListener::bind(&path).unwrap();
        let daemon = thread::spawn(move || {
            let mut stream = listener.accept().unwrap().0;
            let mut line = String::new();
            BufReader::new(&stream).read_line(&mut line).unwrap();
            writeln!(stream, "{answer}").unwrap();
            line
        });
        let socket = path.to_str().unwrap();
        let cli = Cli::try_parse_from(["vipctl", "probe", "db", "--socket", socket]).unwrap();
        let Command::Probe(options) = cli.command else { panic!("{cli:?}") };
        let told = main(options);
        std::fs::remove_file(&path).unwrap();
        (told.exit, told.text, daemon.join().unwrap())
    }

    /// Rule: what a look finds is the exit code, too, and says how long it took.
    #[test]
    fn looks_are_told_in_words() {
        let passed = r#"{"probe":{"result":{"passed":"HTTP 200"},"took":12000000}}"#;
        let (exit, text, asked) = probe("passed", passed);
        assert_eq!(asked, "{\"probe\":{\"track\":\"db\"}}\n");
        assert_eq!((exit, text.as_str()), (Exit::Ok, "check db passes, after 12 ms: HTTP 200"));
        let failed = r#"{"probe":{"result":{"failed":"refused"},"took":1000}}"#;
        let (exit, text, _) = probe("failed", failed);
        assert_eq!((exit, text.as_str()), (Exit::Wrong, "check db fails, after 1 µs: refused"));
        let (exit, text, _) = probe("unknown", r#"{"error":"there is no check db"}"#);
        assert_eq!(exit, Exit::Unavailable);
        assert!(text.ends_with("the look of the check db: there is no check db"), "{text}");
    }
}
