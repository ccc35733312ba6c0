//! Whether the clock is synchronised.

use super::finding::{Finding, Kind, LeftOut, Severity};
use super::system::{Ran, System};

/// Asks systemd, which asks the kernel (`adjtimex(2)`).
pub(super) fn judge(left_out: &mut Vec<LeftOut>) -> Option<Finding> {
    let why = match System::run("timedatectl", &["show", "--property=NTPSynchronized", "--value"]) {
        Ran::Well(text) => return of(text.trim()),
        Ran::Absent => "there is no timedatectl".to_owned(),
        Ran::Failed(why) => why,
    };
    left_out.push(LeftOut { what: "the clock".to_owned(), why });
    None
}

fn of(synchronised: &str) -> Option<Finding> {
    let finding = Finding::new(Severity::Note, Kind::Clock, "the clock is not synchronised");
    (synchronised == "no").then(|| {
        finding
            .because("timedatectl: NTPSynchronized=no")
            .because("it is good for comparing logs; authentication with HMAC will need it")
            .mend("timedatectl set-ntp true, or: apt install chrony")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rule: only a clear no is one.
    #[test]
    fn answers() {
        assert!(of("no").is_some());
        assert_eq!(of("yes"), None);
        assert_eq!(of(""), None);
    }
}
