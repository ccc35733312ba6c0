//! What the exit codes of `vipctl` mean: stable, for scripts (`sysexits.h`, as `vipd` has them).

use std::process::ExitCode;

/// For `--help`.
pub(super) const TEXT: &str = "\
Exit codes:
   0  done
   1  refused: nothing has changed; doctor: something was found
   2  handover: done, but another node than the wanted one has taken the addresses
  64  the command line is wrong
  69  no vipd answers there, or it did not deal with the request
  73  a file cannot be written
  75  no answer came in time: what has become of the request is not known
  76  the answer is not understood: vipctl and vipd are of different versions
  77  no permission to use the control socket";

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
    /// `EX_USAGE`: the command line is wrong.
    Usage = 64,
    /// `EX_UNAVAILABLE`: no daemon, or not one that dealt with the request.
    Unavailable = 69,
    /// `EX_CANTCREAT`: a file cannot be written.
    CannotCreate = 73,
    /// `EX_TEMPFAIL`: no answer in time.
    Late = 75,
    /// `EX_PROTOCOL`: the answer is not understood.
    Protocol = 76,
    /// `EX_NOPERM`: the socket may not be used.
    Permission = 77,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}
