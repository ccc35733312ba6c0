//! The snapshot in words: a line for `systemctl status`, and its parts.

use std::fmt;

use super::super::story::StateName;
use super::super::words::few;
use super::{
    FailedHook, GroupStatus, HookStatus, InstanceStatus, MissingPath, Status, TrackStatus,
};
use crate::time::Wall;

/// So many instances are shown one by one; of more, only those that somebody should look at. And so
/// many failing checks.
const SHOWN_ONE_BY_ONE: usize = 4;

/// One line for `systemctl status`.
impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.instances.is_empty() {
            return f.write_str("idle: no instances are configured");
        }
        let mut lines = Vec::new();
        if self.instances.len() > SHOWN_ONE_BY_ONE {
            lines.push(self.summary());
            let troubled = self.instances.iter().filter(|instance| instance.is_in_trouble());
            lines.extend(troubled.map(ToString::to_string));
        } else {
            lines.extend(self.instances.iter().map(ToString::to_string));
        }
        lines.extend(
            self.groups
                .iter()
                .filter(|group| group.failed_hooks().next().is_some())
                .map(ToString::to_string),
        );
        lines.extend(self.failing_tracks());
        f.write_str(&lines.join("; "))
    }
}

impl Status {
    /// The failing checks, the first of them one by one.
    fn failing_tracks(&self) -> Vec<String> {
        let failing = || self.tracks.iter().filter(|track| track.failure.is_some());
        let mut lines: Vec<String> =
            failing().take(SHOWN_ONE_BY_ONE).map(ToString::to_string).collect();
        match failing().count().saturating_sub(SHOWN_ONE_BY_ONE) {
            0 => {}
            more => lines.push(format!("{more} more checks fail")),
        }
        lines
    }

    /// `12 instances: 10 active, 2 backup`
    fn summary(&self) -> String {
        let states = [
            StateName::Active,
            StateName::Backup,
            StateName::Fault,
            StateName::Standby,
            StateName::Stopped,
        ];
        let count = |state| self.instances.iter().filter(|i| i.state == state).count();
        let counts: Vec<String> = states
            .into_iter()
            .map(|state| (count(state), state))
            .filter(|(count, _)| *count > 0)
            .map(|(count, state)| format!("{count} {state}"))
            .collect();
        format!("{} instances: {}", self.instances.len(), counts.join(", "))
    }
}

impl fmt::Display for FailedHook<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "hook {} failed at {}: {}", self.name, TimeOfDay(self.at), self.text)
    }
}

/// `web: active (priority 200) with 10.0.0.100/24 on eth0 since 14:03:07 UTC: nobody heard for 3.2
/// s`
impl fmt::Display for InstanceStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} (priority {}", self.name, self.state, self.priority)?;
        if let Some(lowered) = &self.lowered {
            write!(f, " instead of {}: {lowered}", self.own_priority)?;
        }
        f.write_str(")")?;
        if !self.held.is_empty() {
            f.write_str(" with ")?;
            f.write_str(&few(&self.held, ", "))?;
        }
        write!(f, " on {} since {}", self.interface, TimeOfDay(self.since))?;
        match (&self.active, self.state) {
            (Some(active), StateName::Backup) => write!(f, ", {active} is active")?,
            (None, StateName::Backup) => f.write_str(", no active router heard")?,
            _ => {}
        }
        if let Some(until) = self.held_down_until {
            write!(f, ", takes over at {} at the earliest (hold_down)", TimeOfDay(until))?;
        }
        write!(f, ": {}", self.why)?;
        if self.leaving {
            f.write_str("; leaving, until another node has taken over")?;
        }
        if let Some(phase) = self.waits_for {
            write!(f, "; waiting for {phase} to end")?;
        }
        for failed in self.failed_hooks() {
            write!(f, "; {failed}")?;
        }
        self.missing_paths.iter().try_for_each(|path| write!(f, "; {path}"))?;
        let mut conflicts = self.conflicts.iter();
        conflicts.try_for_each(|conflict| write!(f, "; conflict: {}", conflict.text))
    }
}

/// `nothing is heard on eth1 (IPv6): ...`
impl fmt::Display for MissingPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "nothing is heard on {} ({}): {}", self.interface, self.family, self.reason)
    }
}

/// `sync group gateway: hook script failed at 14:03:07 UTC: exit code 1`
impl fmt::Display for GroupStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sync group {}: ", self.name)?;
        let mut failed = self.hooks.iter().filter_map(HookStatus::failure).peekable();
        if failed.peek().is_none() {
            return write!(f, "{} since {}", self.state, TimeOfDay(self.since));
        }
        for (place, hook) in failed.enumerate() {
            write!(f, "{}{hook}", if place > 0 { ", " } else { "" })?;
        }
        Ok(())
    }
}

/// `check postgres (postgres) fails: connection refused (since 14:03:07 UTC)`
impl fmt::Display for TrackStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "check {} ({}) ", self.name, self.kind)?;
        f.write_str(&self.text)?;
        if let Some(span) = self.held_for {
            write!(f, " for another {span}")?;
        }
        write!(f, " (since {})", TimeOfDay(self.since))
    }
}

/// The time of day in UTC: the day is in the log.
struct TimeOfDay(Wall);

impl fmt::Display for TimeOfDay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let second = self.0.0 / 1_000_000_000 % 86_400;
        write!(f, "{:02}:{:02}:{:02} UTC", second / 3_600, second / 60 % 60, second % 60)
    }
}
