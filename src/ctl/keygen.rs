//! `vipctl keygen`: a random key for the authentication of advertisements.

use std::fmt::Write as _;
use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use clap::Args;

use super::exit::{self, Exit};
use super::told::Told;

/// What the key is for, and how it is to be treated.
const USE: &str = "\
The key signs advertisements (HMAC-SHA-256, as keepalived 2.4 has it: auth_hmac), where an instance's \
authentication names it: keys: { 1: { file: /etc/vipd/key } }. It is the same on every node of the \
group, and nobody else's: bring it there over ssh, in a file that only root and vipd may read (mode \
0640, root:vipd).";

#[derive(Debug, Args)]
#[command(after_help = exit::TEXT)]
pub(super) struct KeygenOptions {
    /// How many random bytes
    #[arg(long, value_name = "COUNT", default_value_t = 32)]
    #[arg(value_parser = clap::value_parser!(u16).range(32..=64))]
    bytes: u16,
    /// A new file for the key, with mode 0600 [default: standard output]
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// Makes one and hands it over, once.
pub(super) fn main(options: &KeygenOptions) -> Told {
    let mut bytes = vec![0; options.bytes.into()];
    if let Err(error) = getrandom::fill(&mut bytes) {
        return Told::problem(Exit::Unavailable, format!("the system has no randomness: {error}"));
    }
    let key = written(&bytes);
    let told = match &options.output {
        None => Told::done(key),
        Some(path) => match keep(path, &key) {
            Ok(()) => Told::done(format!("{}: the key is in it", path.display())),
            Err(error) => {
                let why = format!("{} cannot be made: {error}", path.display());
                return Told::problem(Exit::CannotCreate, why);
            }
        },
    };
    // Nobody is left to hear of a closed output.
    let _ = writeln!(io::stderr(), "{USE}");
    told
}

/// The form that keepalived takes in its configuration and in the file of a key: `hex:` and digits.
fn written(bytes: &[u8]) -> String {
    bytes.iter().fold("hex:".to_owned(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// A file that was not there before, for its owner alone from the start.
fn keep(path: &Path, key: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    writeln!(file, "{key}")?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn made(bytes: u16, output: Option<PathBuf>) -> Told {
        main(&KeygenOptions { bytes, output })
    }

    /// Rule: a key has the form that keepalived reads, the length that was asked for, and is never
    /// the same again.
    #[test]
    fn keys_are_random_and_well_formed() {
        for bytes in [32, 64] {
            let one = made(bytes, None).text;
            let digits = one.strip_prefix("hex:").unwrap();
            assert_eq!(digits.len(), usize::from(bytes) * 2);
            assert!(digits.bytes().all(|digit| digit.is_ascii_hexdigit()), "{one}");
            assert_ne!(one, made(bytes, None).text);
        }
        assert_eq!(written(&[0, 0x7f, 0xff]), "hex:007fff");
    }

    /// Rule: a key in a file is for its owner alone, is not shown, and replaces nothing.
    #[test]
    fn a_file_is_private_and_new() {
        let path = std::env::temp_dir().join(format!("vipctl-key-{}", std::process::id()));
        let told = made(32, Some(path.clone()));
        assert_eq!((told.exit, told.raw), (Exit::Ok, None));
        let text = fs::read_to_string(&path).unwrap();
        assert!(!told.text.contains(text.trim()));
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(made(32, Some(path.clone())).exit, Exit::CannotCreate);
        assert_eq!(fs::read_to_string(&path).unwrap(), text);
        fs::remove_file(path).unwrap();
    }
}
