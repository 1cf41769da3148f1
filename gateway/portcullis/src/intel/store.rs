//! The last good document of each source, on disk, with what is known of it.
//!
//! A source named `tor` has two files in the data folder: `tor.data`, as it was fetched, and `tor.json`. Each is
//! written beside its place and renamed into it, so that a reader, and a machine that stops in between, sees the old
//! one or the new one. Between the two renames they may not belong together; then the document is still the last good
//! one, but nothing that was written of it is believed.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::fetch::{FetchError, Validators, read_file};
use crate::random;

/// The largest description, in bytes. Ours have some hundred.
const MAX_META_BYTES: u64 = 64 * 1024;

/// A data folder.
#[derive(Clone, Debug)]
pub struct Store {
    folder: PathBuf,
}

/// What is known of a source beside its document. Times are in seconds since 1970.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
pub struct Meta {
    /// The digest of where it was fetched from; not the URL itself, which may hold a user's key.
    pub url_sha256: String,
    /// The entity tag of the document.
    pub etag: Option<String>,
    /// When the document was changed last, in the server's words.
    pub last_modified: Option<String>,
    /// The digest of the document, in hex.
    pub sha256: String,
    /// The size of the document.
    pub bytes: u64,
    /// How many entries were read from it.
    pub entries: u64,
    /// How many lines or records were left out of it.
    pub skipped: u64,
    /// When the document was fetched, or was last said to be unchanged.
    pub fetched_at: u64,
    /// When it was last tried.
    pub attempted_at: u64,
    /// How often it failed since it last went well.
    pub failures: u32,
    /// Why it failed the last time.
    pub error: Option<String>,
}

/// A document that was kept.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Kept {
    /// The document.
    pub bytes: Vec<u8>,
    /// What is known of it.
    pub meta: Meta,
}

/// Why the data folder does not serve.
#[derive(Debug)]
pub struct StoreError {
    path: PathBuf,
    doing: &'static str,
    error: io::Error,
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot {} `{}`: {}", self.doing, self.path.display(), self.error)
    }
}

impl std::error::Error for StoreError {}

impl Meta {
    /// The validators to ask with; none where the document came from elsewhere than `url`.
    pub fn validators(&self, url: &str) -> Validators {
        if self.url_sha256 != sha256(url.as_bytes()) {
            return Validators::default();
        }
        Validators { etag: self.etag.clone(), last_modified: self.last_modified.clone() }
    }
}

impl Store {
    /// A store in `folder`, which is made when it is first written to.
    pub const fn in_folder(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// What is known of a source; nothing where it has never been tried, or what was written is not readable.
    pub fn meta(&self, name: &str) -> Meta {
        let bytes = read_file(&self.meta_path(name), MAX_META_BYTES).unwrap_or_default();
        serde_json::from_slice(&bytes).unwrap_or_default()
    }

    /// The last good document of a source, if there is one of at most `max_bytes`.
    ///
    /// # Errors
    ///
    /// Where there is one that cannot be read.
    pub fn read(&self, name: &str, max_bytes: u64) -> Result<Option<Kept>, FetchError> {
        let bytes = match read_file(&self.data_path(name), max_bytes) {
            Ok(bytes) => bytes,
            Err(FetchError::File(_, error)) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let written = self.meta(name);
        let meta = if written.sha256 == sha256(&bytes) {
            written
        } else {
            // Of another document: only the times and faults are about the source itself.
            Meta {
                attempted_at: written.attempted_at,
                failures: written.failures,
                error: written.error,
                bytes: u64::try_from(bytes.len()).unwrap_or(u64::MAX),
                ..Meta::default()
            }
        };
        Ok(Some(Kept { bytes, meta }))
    }

    /// Puts a document in place of the last.
    ///
    /// # Errors
    ///
    /// Where the folder cannot be written to; the last document is then still there.
    pub fn keep(&self, name: &str, bytes: &[u8], meta: &Meta) -> Result<(), StoreError> {
        self.replace(&self.data_path(name), bytes)?;
        self.note(name, meta)
    }

    /// Writes what is known of a source, and leaves its document.
    ///
    /// # Errors
    ///
    /// Where the folder cannot be written to.
    pub fn note(&self, name: &str, meta: &Meta) -> Result<(), StoreError> {
        let path = self.meta_path(name);
        let text = serde_json::to_vec_pretty(meta).map_err(|error| StoreError {
            path: path.clone(),
            doing: "write",
            error: error.into(),
        })?;
        self.replace(&path, &text)
    }

    /// Where the document of a source is.
    pub fn data_path(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.data"))
    }

    fn meta_path(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.json"))
    }

    /// Writes beside `path`, to the disk, and then renames: at no moment is half of it there.
    fn replace(&self, path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
        let fail = |error| StoreError { path: path.to_owned(), doing: "write", error };
        fs::create_dir_all(&self.folder).map_err(|error| StoreError {
            path: self.folder.clone(),
            doing: "make the folder",
            error,
        })?;
        let unique = random::bytes::<8>().map_err(io::Error::other).map_err(fail)?;
        let beside = path.with_extension(format!("{}.new", hex(&unique)));
        let written = File::create_new(&beside)
            .and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()))
            .and_then(|()| fs::rename(&beside, path));
        if written.is_err() {
            // A full disk is not to be filled further; there is nobody to tell where this fails too.
            let _ = fs::remove_file(&beside);
        }
        written.map_err(fail)
    }
}

/// The SHA-256 of bytes, in hex.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Scratch;

    struct Folder(Scratch);

    impl Folder {
        fn new(name: &str) -> Self {
            Self(Scratch::new(&format!("store-{name}")))
        }

        fn store(&self) -> Store {
            Store::in_folder(self.0.0.join("intel"))
        }
    }

    fn meta(bytes: &[u8]) -> Meta {
        Meta {
            url_sha256: sha256(b"https://lists.shop.example/tor"),
            etag: Some("\"one\"".to_owned()),
            sha256: sha256(bytes),
            bytes: bytes.len() as u64,
            entries: 3,
            fetched_at: 1_000,
            attempted_at: 1_000,
            ..Meta::default()
        }
    }

    #[test]
    fn what_was_kept_is_there_again_and_nothing_else_is() {
        let folder = Folder::new("kept");
        let store = folder.store();
        assert_eq!(store.read("tor", 100).unwrap(), None);
        assert_eq!(store.meta("tor"), Meta::default());
        store.keep("tor", b"one", &meta(b"one")).unwrap();
        store.keep("tor", b"two!", &meta(b"two!")).unwrap();
        assert_eq!(store.read("tor", 100).unwrap(), Some(Kept { bytes: b"two!".to_vec(), meta: meta(b"two!") }));
        let mut names: Vec<_> = fs::read_dir(store.folder())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        assert_eq!(names, ["tor.data", "tor.json"]);
    }

    #[test]
    fn a_note_leaves_the_document() {
        let folder = Folder::new("note");
        let store = folder.store();
        store.keep("tor", b"one", &meta(b"one")).unwrap();
        let failed = Meta { attempted_at: 2_000, failures: 1, error: Some("404".to_owned()), ..meta(b"one") };
        store.note("tor", &failed).unwrap();
        assert_eq!(store.read("tor", 100).unwrap(), Some(Kept { bytes: b"one".to_vec(), meta: failed }));
    }

    #[test]
    fn a_document_without_its_own_description_is_kept_and_the_description_is_not_believed() {
        let folder = Folder::new("torn");
        let store = folder.store();
        store.keep("tor", b"one", &Meta { failures: 2, ..meta(b"one") }).unwrap();
        for (text, failures) in [(serde_json::to_string(&meta(b"other")).unwrap(), 0), ("{".to_owned(), 0)] {
            fs::write(store.folder().join("tor.json"), text).unwrap();
            let kept = store.read("tor", 100).unwrap().unwrap();
            assert_eq!(kept.bytes, b"one");
            assert_eq!((kept.meta.etag, kept.meta.entries, kept.meta.failures), (None, 0, failures));
        }
    }

    #[test]
    fn validators_are_told_to_whom_they_are_of_alone() {
        let meta = meta(b"one");
        assert_eq!(meta.validators("https://lists.shop.example/tor").etag.as_deref(), Some("\"one\""));
        assert_eq!(meta.validators("https://lists.shop.example/other"), Validators::default());
    }

    #[test]
    fn a_folder_that_cannot_be_written_to_is_named() {
        let folder = Folder::new("denied");
        fs::create_dir_all(&folder.0.0).unwrap();
        fs::write(folder.0.0.join("intel"), "a file").unwrap();
        let error = folder.store().keep("tor", b"one", &meta(b"one")).unwrap_err().to_string();
        assert!(error.contains("cannot make the folder") && error.contains("intel"), "{error}");
    }
}
