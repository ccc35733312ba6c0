//! What the program's exit codes mean: stable, for scripts and for systemd (`sysexits.h`).

use std::process::ExitCode;

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Exit {
    /// Done.
    Ok = 0,
    /// `replay`: this engine answers other than the recorded one.
    Differs = 1,
    /// `EX_USAGE`: the command line is wrong.
    Usage = 64,
    /// `EX_DATAERR`: `replay`: the recording cannot be read; `release`: what the daemon wrote down
    /// cannot be understood.
    Data = 65,
    /// `EX_UNAVAILABLE`: `check`: the file is right, and something that it needs is not on this
    /// machine (yet).
    Unavailable = 69,
    /// `EX_OSERR`: the system refused something without which there is no start; `release`:
    /// something that vipd has put on the system could not be removed.
    System = 71,
    /// `EX_TEMPFAIL`: another vipd runs with this runtime directory.
    Busy = 75,
    /// `EX_NOPERM`: a capability is missing.
    Permission = 77,
    /// `EX_CONFIG`: the configuration cannot be read, or its text is wrong.
    Config = 78,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}
