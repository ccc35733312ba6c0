//! Whether the clock is synchronised.

use super::finding::{Finding, Kind, LeftOut, Severity};
use super::system::{Ran, System};

/// Asks systemd, which asks the kernel (`adjtimex(2)`). With `signs`, the other nodes refuse
/// advertisements whose time is not theirs.
pub(super) fn judge(signs: bool, left_out: &mut Vec<LeftOut>) -> Option<Finding> {
    let why = match System::run("timedatectl", &["show", "--property=NTPSynchronized", "--value"]) {
        Ran::Well(text) => return of(text.trim(), signs),
        Ran::Absent => "there is no timedatectl".to_owned(),
        Ran::Failed(why) => why,
    };
    left_out.push(LeftOut { what: "the clock".to_owned(), why });
    None
}

fn of(synchronised: &str, signs: bool) -> Option<Finding> {
    let severity = if signs { Severity::Problem } else { Severity::Note };
    let finding = Finding::new(severity, Kind::Clock, "the clock is not synchronised");
    let matters = if signs {
        "the other nodes refuse signed advertisements whose time is not theirs"
    } else {
        "it is good for comparing logs; authentication with keys would need it"
    };
    (synchronised == "no").then(|| {
        finding
            .because("timedatectl: NTPSynchronized=no")
            .because(matters)
            .mend("timedatectl set-ntp true, or: apt install chrony")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rule: only a clear no is one.
    #[test]
    fn answers() {
        assert!(of("no", false).is_some());
        assert_eq!(of("yes", true), None);
        assert_eq!(of("", true), None);
    }
}
