//! Passwords: in files of their own, read at each look, so that a new one needs no reload.

use std::path::Path;

use crate::daemon::outside::{Doing, read};

/// The longest password.
const LONGEST: u64 = 4096;

/// The first line of a password file; `None` where there is no such file to read.
///
/// # Errors
/// What is wrong with the file, for people; nothing of what stands in it.
pub(super) async fn of(file: Option<&Path>, doing: &Doing) -> Result<Option<String>, String> {
    let Some(path) = file else { return Ok(None) };
    doing.set(format!("reading {}", path.display()));
    let bytes = read::beginning(path, LONGEST + 1).await?;
    let line = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let wrong = |what: &str| format!("the first line of {} {what}", path.display());
    if line.is_empty() {
        return Err(wrong("is empty: it should be the password"));
    }
    if u64::try_from(line.len()).is_ok_and(|length| length > LONGEST) {
        return Err(wrong(&format!("is longer than {LONGEST} bytes")));
    }
    match std::str::from_utf8(line) {
        Ok(password) => Ok(Some(password.to_owned())),
        Err(_) => Err(wrong("is no text")),
    }
}

/// A text of somebody else's, without the password: servers quote what they don't understand.
pub(super) fn hidden(text: &str, password: Option<&str>) -> String {
    match password {
        Some(password) if !password.is_empty() => text.replace(password, "***"),
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn first_line(content: &[u8]) -> Result<Option<String>, String> {
        let file = super::super::servers::scratch::Scratch::new();
        let path = file.file("password", content);
        of(Some(&path), &Doing::default()).await
    }

    /// Rule: the first line is the password, blanks included; how the line ends is not.
    #[tokio::test]
    async fn the_first_line_is_the_password() {
        for content in [&b" s3 cret\nnot this"[..], b" s3 cret\r\n", b" s3 cret"] {
            assert_eq!(first_line(content).await, Ok(Some(" s3 cret".to_owned())));
        }
        assert_eq!(of(None, &Doing::default()).await, Ok(None));
    }

    /// Rule: a file that holds no password is named, and what stands in it is not told.
    #[tokio::test]
    async fn a_file_without_a_password_is_named() {
        let long = vec![b'x'; 5_000];
        let cases = [
            (&b""[..], "is empty"),
            (b"\nsecond", "is empty"),
            (b"\xff\n", "is no text"),
            (&long, "is longer"),
        ];
        for (content, what) in cases {
            let error = first_line(content).await.unwrap_err();
            assert!(error.contains("/password ") && error.contains(what), "{error}");
            assert!(error.len() < 200, "{error}");
        }
        let missing =
            of(Some(Path::new("/nonexistent/password")), &Doing::default()).await.unwrap_err();
        assert_eq!(missing, "/nonexistent/password: no such file or directory");
    }

    /// Rule: a password in the words of a server is not shown.
    #[test]
    fn a_quoted_password_is_hidden() {
        let said = "ERR unknown command 'AUTH', with args beginning with: 's3cret'";
        assert!(!hidden(said, Some("s3cret")).contains("s3cret"));
        assert_eq!(hidden(said, None), said);
    }
}
