//! What docker prints: every assumption about it is here.

use std::path::Path;

use super::run::Ran;

/// How docker stands, as `docker info` shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// The engine answers.
    Answers,
    /// It is there, and this user may not talk to it.
    Forbidden(String),
    /// It does not run, or its socket is not there.
    Down(String),
    /// Anything else.
    Unclear(String),
}

/// Reads `docker info`.
pub fn standing(ran: &Ran) -> Standing {
    let text = format!("{}\n{}", ran.err, ran.out);
    let line = |needle: &str| {
        text.lines().find(|line| line.to_lowercase().contains(needle)).map(|line| line.trim().to_owned())
    };
    // Old clients end with 0 and print the error below the client's part.
    if let Some(line) = line("permission denied") {
        return Standing::Forbidden(line);
    }
    if let Some(line) =
        line("cannot connect to the docker daemon").or_else(|| line("failed to connect to the docker api"))
    {
        return Standing::Down(line);
    }
    if ran.succeeded() {
        return Standing::Answers;
    }
    Standing::Unclear(ran.last_lines(1).pop().unwrap_or_else(|| ran.how()))
}

/// Whether this docker comes from snap, whose confinement keeps minikube's driver from working.
pub fn is_from_snap(program: &Path) -> bool {
    let real = program.canonicalize().unwrap_or_else(|_| program.to_owned());
    [program, &real].iter().any(|path| path.components().any(|part| part.as_os_str() == "snap"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_engine_is_judged_by_its_words() {
        let ran = |code, out: &str, err: &str| Ran {
            code: Some(code),
            out: out.into(),
            err: err.into(),
            took: std::time::Duration::ZERO,
        };
        assert_eq!(standing(&ran(0, "Client:\nServer:\n Server Version: 20.10.24", "")), Standing::Answers);
        let denied =
            "permission denied while trying to connect to the Docker daemon socket at unix:///var/run/docker.sock";
        assert!(matches!(standing(&ran(1, "", denied)), Standing::Forbidden(_)));
        let down = "Client:\n\nERROR: Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is the docker daemon running?";
        assert!(matches!(standing(&ran(0, down, "")), Standing::Down(_)), "even when it ends with 0");
        assert!(matches!(standing(&ran(1, "", "context not found")), Standing::Unclear(_)));
        assert!(is_from_snap(Path::new("/snap/bin/docker")) && !is_from_snap(Path::new("/usr/bin/docker")));
    }
}
