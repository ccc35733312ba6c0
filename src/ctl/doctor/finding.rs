//! What doctor has found, and how it tells it.

use std::fmt::{self, Write as _};

use serde::Serialize;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Severity {
    /// The addresses are, or soon will be, where they should not be, or nowhere.
    Problem,
    /// Works now, and will not in a case that is to be expected.
    Warning,
    /// Good to know; no reason to act.
    Note,
}

/// Writes the enum, its list and its names from one table.
macro_rules! kinds {
    ($($(#[doc = $doc:literal])+ $variant:ident, $name:literal;)+) => {
        /// What is found, for programs and as the heading in the documentation.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
        pub(super) enum Kind {
            $($(#[doc = $doc])+ #[serde(rename = $name)] $variant,)+
        }

        impl Kind {
            /// All of them.
            #[cfg(test)]
            pub(super) const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// Its name: the same in every release.
            pub(super) const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)+
                }
            }
        }
    };
}

kinds! {
    /// No daemon answers.
    NotRunning, "not-running";
    /// Its last reload was refused.
    ConfigurationRefused, "configuration-refused";
    /// The file is newer than what is in effect.
    ConfigurationNotLoaded, "configuration-not-loaded";
    /// An instance is taken out of the election.
    Standby, "standby";
    /// An instance cannot take part.
    Fault, "fault";
    /// The system refuses the daemon something.
    Refused, "refused-by-the-system";
    /// The protocol loop is late.
    HeldUp, "held-up";
    /// A check fails.
    CheckFails, "check-fails";
    /// A hook has failed.
    HookFails, "hook-fails";
    /// A firewall of this machine drops VRRP.
    Firewall, "firewall";
    /// Another node's advertisements do not get here.
    NotArriving, "multicast-not-arriving";
    /// This machine has not joined the multicast group.
    GroupNotJoined, "group-not-joined";
    /// One of several paths cannot be used.
    PathBroken, "path-broken";
    /// Another node holds the addresses, too.
    TwoActive, "two-active";
    /// A listed node does not answer.
    NodeUnreachable, "node-unreachable";
    /// Another group uses the virtual router ID.
    Stranger, "another-group";
    /// The address lists differ.
    AddressesDiffer, "addresses-differ";
    /// The intervals differ.
    IntervalDiffers, "interval-differs";
    /// The versions differ.
    VersionDiffers, "version-differs";
    /// The authentication differs.
    AuthenticationDiffers, "authentication-differs";
    /// Advertisements are refused for another reason.
    AdvertisementsRefused, "advertisements-refused";
    /// A machine outside of the group has an address.
    AddressElsewhere, "address-elsewhere";
    /// Nobody answers for an address.
    AddressUnanswered, "address-unanswered";
    /// Strict reverse path filtering.
    ReversePath, "rp-filter";
    /// Settings that keep an address from being answered.
    ArpSettings, "arp-settings";
    /// The node's own address goes with the virtual one.
    OwnAddressSecondary, "promote-secondaries";
    /// IPv6 is off on the interface.
    Ipv6Disabled, "ipv6-disabled";
    /// A virtual MAC address is not where it should be.
    VirtualMac, "virtual-mac";
    /// A service is bound to an address that a backup does not have.
    NonlocalBind, "nonlocal-bind";
    /// Nothing listens where the address leads.
    NobodyListens, "nobody-listens";
    /// systemd-networkd takes the addresses off.
    NetworkdAddresses, "networkd-addresses";
    /// systemd-networkd takes routes off.
    NetworkdRoutes, "networkd-routes";
    /// NetworkManager manages the interface.
    NetworkManager, "networkmanager";
    /// dhcpcd manages the interface.
    Dhcpcd, "dhcpcd";
    /// The clock is not synchronised.
    Clock, "clock";
}

/// Something found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Finding {
    /// How bad it is.
    pub(super) severity: Severity,
    /// What it is, for programs.
    pub(super) kind: Kind,
    /// What it is, with the instance or interface in front.
    pub(super) what: String,
    /// How doctor knows.
    pub(super) evidence: Vec<String>,
    /// What to do: commands and settings to write as they stand here.
    pub(super) mend: Vec<String>,
}

impl Finding {
    /// With neither evidence nor advice yet.
    pub(super) fn new(severity: Severity, kind: Kind, what: impl Into<String>) -> Self {
        Self { severity, kind, what: what.into(), evidence: Vec::new(), mend: Vec::new() }
    }

    /// Adds a line of evidence.
    pub(super) fn because(mut self, line: impl Into<String>) -> Self {
        self.evidence.push(line.into());
        self
    }

    /// Adds lines of evidence.
    pub(super) fn because_all(mut self, lines: impl IntoIterator<Item = String>) -> Self {
        self.evidence.extend(lines);
        self
    }

    /// Adds something to do.
    pub(super) fn mend(mut self, line: impl Into<String>) -> Self {
        self.mend.push(line.into());
        self
    }

    /// Adds things to do.
    pub(super) fn mend_all(mut self, lines: impl IntoIterator<Item = String>) -> Self {
        self.mend.extend(lines);
        self
    }
}

/// A check that was not made.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(super) struct LeftOut {
    /// Which one.
    pub(super) what: String,
    /// Why.
    pub(super) why: String,
}

/// All that doctor says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Report {
    /// Whether nothing worse than a note was found. Checks that were left out may have found more.
    pub(super) healthy: bool,
    /// The worst first.
    pub(super) findings: Vec<Finding>,
    /// What was not looked at.
    pub(super) left_out: Vec<LeftOut>,
}

impl Report {
    /// Puts them in order, and removes what was found twice.
    pub(super) fn new(mut findings: Vec<Finding>, mut left_out: Vec<LeftOut>) -> Self {
        findings.sort_by_key(|finding| (finding.severity, finding.kind));
        findings.dedup();
        left_out.sort();
        left_out.dedup();
        let healthy = findings.iter().all(|finding| finding.severity == Severity::Note);
        Self { healthy, findings, left_out }
    }

    fn count(&self, severity: Severity) -> usize {
        self.findings.iter().filter(|finding| finding.severity == severity).count()
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Problem => "PROBLEM",
            Self::Warning => "WARNING",
            Self::Note => "note",
        })
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} [{}]", self.severity, self.what, self.kind.name())?;
        for line in &self.evidence {
            write!(f, "\n    {}", indented(line))?;
        }
        for line in &self.mend {
            write!(f, "\n  > {}", indented(line))?;
        }
        Ok(())
    }
}

fn indented(text: &str) -> String {
    text.trim_end().replace('\n', "\n    ")
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for finding in &self.findings {
            writeln!(f, "{finding}\n")?;
        }
        for LeftOut { what, why } in &self.left_out {
            writeln!(f, "not checked: {what}: {why}")?;
        }
        let mut end = String::new();
        for (severity, one, more) in [
            (Severity::Problem, "problem", "problems"),
            (Severity::Warning, "warning", "warnings"),
            (Severity::Note, "note", "notes"),
        ] {
            let comma = if end.is_empty() { "" } else { ", " };
            match self.count(severity) {
                0 => {}
                1 => write!(end, "{comma}1 {one}")?,
                count => write!(end, "{comma}{count} {more}")?,
            }
        }
        f.write_str(if end.is_empty() { "nothing found" } else { &end })?;
        match self.left_out.len() {
            0 => Ok(()),
            1 => f.write_str("; 1 check left out"),
            count => write!(f, "; {count} checks left out"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rule: the worst comes first, twice the same is told once, and notes alone are no illness.
    #[test]
    fn a_report_is_in_order() {
        let note = Finding::new(Severity::Note, Kind::Clock, "the clock");
        let report = Report::new(vec![note.clone()], Vec::new());
        assert!(report.healthy);
        let problem = Finding::new(Severity::Problem, Kind::Firewall, "web: VRRP is dropped")
            .because("rule 7\nof it")
            .mend("nft insert rule inet filter input ip protocol vrrp accept");
        let left = LeftOut { what: "ARP".to_owned(), why: "not root".to_owned() };
        let report = Report::new(vec![note, problem.clone(), problem], vec![left]);
        assert!(!report.healthy);
        let text = "PROBLEM web: VRRP is dropped [firewall]\n    rule 7\n    of it\n  > nft insert \
                    rule inet filter input ip protocol vrrp accept\n\nnote the clock [clock]\n\nnot \
                    checked: ARP: not root\n1 problem, 1 note; 1 check left out";
        assert_eq!(report.to_string(), text);
    }

    /// Rule: each kind of finding has a section in the documentation, under its name.
    #[test]
    fn every_kind_is_documented() {
        let page = include_str!("../../../docs/troubleshooting.md");
        for kind in Kind::ALL {
            let heading = format!("\n### {}\n", kind.name());
            assert!(page.contains(&heading), "{} is not in the page", kind.name());
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.name());
        }
    }
}
