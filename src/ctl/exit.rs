//! What the exit codes of `vipctl` mean: stable, for scripts (`sysexits.h`, as `vipd` has them).

use std::process::ExitCode;

/// For `--help`.
pub(super) const TEXT: &str = "\
Exit codes:
   0  done; of status, watch, events, peers and explain: shown, whatever the state is
   1  refused: nothing has changed, or there is no such instance; doctor: something was found
   2  handover: done, but another node than the wanted one has taken the addresses
   3  status --active: not active here
   4  status --check: something is wrong; probe: the check does not pass
   5  standby: done in part, or not kept for the next start
  64  the command line is wrong
  69  no vipd answers there, or it did not deal with the request
      check: the file is right, but something that it needs is not on this machine (yet)
  71  serve: the system does not let it listen there
  73  a file cannot be written
  75  no answer came in time: what has become of the request is not known
  76  the answer is not understood: vipctl and vipd are of different versions
  77  no permission to control vipd
  78  reload, check: the configuration cannot be read or is invalid; nothing has changed";

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Exit {
    /// Done.
    Ok = 0,
    /// Refused, and nothing has changed; doctor: something was found.
    Refused = 1,
    /// Another node has taken the addresses.
    Another = 2,
    /// Not active, as `systemctl is-active` has it.
    NotActive = 3,
    /// Something is wrong.
    Wrong = 4,
    /// Some of it was done.
    InPart = 5,
    /// `EX_USAGE`: the command line is wrong.
    Usage = 64,
    /// `EX_UNAVAILABLE`: no daemon, or not one that dealt with the request.
    Unavailable = 69,
    /// `EX_OSERR`: the system refuses what is needed.
    System = 71,
    /// `EX_CANTCREAT`: a file cannot be written.
    CannotCreate = 73,
    /// `EX_TEMPFAIL`: no answer in time.
    Late = 75,
    /// `EX_PROTOCOL`: the answer is not understood.
    Protocol = 76,
    /// `EX_NOPERM`: the socket may not be used.
    Permission = 77,
    /// `EX_CONFIG`: the configuration is invalid.
    Config = 78,
}

impl Exit {
    /// All of them.
    #[cfg(test)]
    pub(super) const ALL: [u8; 14] = [0, 1, 2, 3, 4, 5, 64, 69, 71, 73, 75, 76, 77, 78];
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}
