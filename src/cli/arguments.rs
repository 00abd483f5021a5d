//! Arguments as the system hands them over, for failures that come before they are understood.

use std::ffi::{OsStr, OsString};
use std::fmt::Write as _;

use super::context::shell_quoted;
use crate::doctor::{Failure, Reason};

/// Whether the output of this command line is for a script, although the rest of it was not understood.
pub(super) fn ask_for_json(args: &[OsString]) -> bool {
    let pair = |pair: &[OsString]| pair[0] == "--output" && pair[1] == "json";
    args.windows(2).any(pair) || args.iter().any(|argument| argument == "--output=json")
}

/// The failure of a command line with an argument that is not UTF-8 where only such ones can be used.
pub(super) fn not_unicode(args: &[OsString]) -> Failure {
    let strange: Vec<&OsStr> =
        args.iter().skip(1).map(OsString::as_os_str).filter(|one| one.to_str().is_none()).collect();
    let mut failure = Failure::new(Reason::ArgumentNotUnicode, "an argument is not UTF-8").then(
        format!("ln -s {} OTHER", strange.first().map_or_else(|| "NAME".to_owned(), |name| value(name))),
        "gives a file or folder a second name, to use instead",
    );
    failure.observed = strange.iter().map(|argument| format!("the argument {}", escaped(argument))).collect();
    failure
}

/// What stands behind the `=` of `--option=VALUE` or `NAME=VALUE`, else the whole argument, for a shell.
fn value(argument: &OsStr) -> String {
    let bytes = argument.as_encoded_bytes();
    let start = bytes.iter().position(|&byte| byte == b'=').map_or(0, |at| at + 1);
    quoted(&bytes[start..])
}

/// The argument as one may type it in a shell that knows `$'…'`.
fn escaped(argument: &OsStr) -> String {
    quoted(argument.as_encoded_bytes())
}

fn quoted(bytes: &[u8]) -> String {
    if let Ok(text) = std::str::from_utf8(bytes) {
        return shell_quoted(text);
    }
    let mut text = "$'".to_owned();
    for chunk in bytes.utf8_chunks() {
        for letter in chunk.valid().chars() {
            match letter {
                '\'' | '\\' => text.extend(['\\', letter]),
                letter if letter.is_ascii_control() => hexadecimal(&mut text, letter as u8),
                letter => text.push(letter),
            }
        }
        for &byte in chunk.invalid() {
            hexadecimal(&mut text, byte);
        }
    }
    text + "'"
}

fn hexadecimal(text: &mut String, byte: u8) {
    // A `String` takes everything.
    let _ = write!(text, "\\x{byte:02x}");
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::ffi::OsStrExt as _;

    use super::*;

    fn bytes(text: &[u8]) -> OsString {
        OsStr::from_bytes(text).to_owned()
    }

    #[test]
    fn an_argument_that_is_not_utf_8_is_shown_as_one_may_type_it() {
        let args = [b"canary-lab".as_slice(), b"up", b"--weights", b"it's caf\xe9.h5"].map(bytes);
        let failure = not_unicode(&args);
        assert_eq!(failure.observed, [r"the argument $'it\'s caf\xe9.h5'"]);
        assert_eq!(failure.next_steps()[0].command, r"ln -s $'it\'s caf\xe9.h5' OTHER");
        let args = [b"canary-lab".as_slice(), b"up", b"--weights=/a b/\xff"].map(bytes);
        assert_eq!(not_unicode(&args).next_steps()[0].command, r"ln -s $'/a b/\xff' OTHER");
    }

    #[test]
    fn a_script_is_known_by_its_option() {
        assert!(ask_for_json(&["x", "--output", "json"].map(OsString::from)));
        assert!(ask_for_json(&["x", "--output=json", "up"].map(OsString::from)));
        assert!(!ask_for_json(&["x", "--output", "human", "json"].map(OsString::from)));
    }
}
