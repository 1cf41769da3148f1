//! Where audit records are written.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use super::Sink;

/// Why audit records cannot be written.
#[derive(Debug)]
pub enum SinkError {
    /// The file is a folder.
    Folder(PathBuf),
    /// There is no folder for the file.
    NoFolder {
        /// The file.
        path: PathBuf,
        /// Where it would be.
        folder: PathBuf,
    },
    /// The file cannot be opened, or none made where it would be.
    File(PathBuf, io::Error),
    /// The writer cannot be started.
    Writer(io::Error),
}

impl SinkError {
    fn at(path: &Path, error: io::Error) -> Self {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        if path.is_dir() {
            Self::Folder(path.to_owned())
        } else if !folder.is_dir() {
            Self::NoFolder { path: path.to_owned(), folder: folder.to_owned() }
        } else {
            Self::File(path.to_owned(), error)
        }
    }
}

impl fmt::Display for SinkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("cannot write audit records")?;
        match self {
            Self::Folder(path) => {
                write!(f, " to `{}`: it is a folder; name a file in it with `audit.path`", path.display())
            }
            Self::NoFolder { path, folder } => {
                let (path, folder) = (path.display(), folder.display());
                write!(f, " to `{path}`: there is no folder `{folder}`; make it, or set `audit.path` to another file")
            }
            Self::File(path, error) => write!(
                f,
                " to `{}`: {error}; let the user of the gateway write there, or set `audit.path` to another file",
                path.display()
            ),
            Self::Writer(error) => write!(f, ": {error}"),
        }
    }
}

impl std::error::Error for SinkError {}

/// Opens the file of audit records, which is made where there is none.
fn open(path: &Path) -> Result<File, SinkError> {
    OpenOptions::new().create(true).append(true).open(path).map_err(|error| SinkError::at(path, error))
}

/// Tries whether audit records can be written to a file, and leaves nothing behind: where there is none, another is made
/// beside it and taken away. What is there and no file, such as a pipe, is not opened.
///
/// # Errors
///
/// Where they cannot.
pub fn try_file(path: &Path) -> Result<(), SinkError> {
    if path.is_file() || path.is_dir() {
        return open(path).map(drop);
    }
    if path.exists() {
        return Ok(());
    }
    let beside = path.with_file_name(format!(".portcullis-check-{}", std::process::id()));
    let made = OpenOptions::new().write(true).create_new(true).open(&beside);
    made.and_then(|_| fs::remove_file(&beside)).map_err(|error| SinkError::at(path, error))
}

/// An open sink.
pub(super) struct Output {
    to: To,
    /// Whether what was written last, by this process or by one that is gone, is not the end of a line.
    is_cut: bool,
}

enum To {
    Stdout,
    File { path: PathBuf, file: File },
}

impl Output {
    pub(super) fn open(sink: &Sink) -> Result<Option<Self>, SinkError> {
        Ok(match sink {
            Sink::Off => None,
            Sink::Stdout => Some(Self { to: To::Stdout, is_cut: false }),
            Sink::File(path) => Some(Self::file(path)?),
        })
    }

    fn file(path: &Path) -> Result<Self, SinkError> {
        let to = To::File { path: path.to_owned(), file: open(path)? };
        Ok(Self { to, is_cut: ends_within_a_line(path) })
    }

    /// Opens the file anew. Where that cannot be done, the one that is open stays.
    pub(super) fn reopen(&mut self) {
        if let To::File { path, .. } = &self.to {
            match Self::file(path) {
                Ok(opened) => *self = opened,
                Err(error) => tracing::error!(%error, "the audit file is not opened anew; the one in use stays"),
            }
        }
    }

    /// Writes lines, the first one to the beginning of a line.
    pub(super) fn write(&mut self, lines: &mut Vec<u8>) -> io::Result<()> {
        if self.is_cut {
            lines.insert(0, b'\n');
        }
        let mut rest = lines.as_slice();
        while !rest.is_empty() {
            let written = match &mut self.to {
                To::Stdout => io::stdout().write(rest),
                To::File { file, .. } => file.write(rest),
            };
            match written {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => {
                    let (done, left) = rest.split_at_checked(count).unwrap_or((rest, b""));
                    self.is_cut = !done.ends_with(b"\n");
                    rest = left;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        match &self.to {
            To::Stdout => io::stdout().flush(),
            To::File { .. } => Ok(()),
        }
    }
}

/// Whether the last byte of a file is not the end of a line.
fn ends_within_a_line(path: &Path) -> bool {
    let last = || {
        let mut file = path.is_file().then(|| File::open(path).ok())??;
        file.seek(SeekFrom::End(-1)).ok()?;
        let mut last = [0];
        file.read_exact(&mut last).ok()?;
        Some(last)
    };
    last().is_some_and(|last| last != *b"\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Scratch;

    #[test]
    fn a_file_that_cannot_be_opened_is_named() {
        let path = Path::new("/proc/audit.jsonl");
        for error in [open(path).unwrap_err(), try_file(path).unwrap_err()] {
            let error = error.to_string();
            assert!(error.starts_with("cannot write audit records to `/proc/audit.jsonl`: "), "{error}");
        }
    }

    #[test]
    fn to_try_a_file_leaves_nothing_behind_and_waits_for_no_pipe() {
        let scratch = Scratch::new("audit-tried");
        let path = |name: &str| scratch.0.join(name);
        fs::write(path("there"), "a\n").unwrap();
        assert!(std::process::Command::new("mkfifo").arg(path("pipe")).status().unwrap().success());
        for name in ["there", "pipe", "missing"] {
            try_file(&path(name)).unwrap();
        }
        assert_eq!(
            (fs::read_to_string(path("there")).unwrap().as_str(), fs::read_dir(&scratch.0).unwrap().count()),
            ("a\n", 2)
        );
    }
}
