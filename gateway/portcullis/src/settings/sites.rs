//! Sites that are not proxied: the file of their keys, as it is written and as it is meant.

use std::fmt;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use portcullis_challenge::site::{
    MIN_SITE_SECRET_BYTES, OriginPattern, Preset, ScoreSense, SiteKey, SiteKeys, SiteMode, SiteSecret,
};
use portcullis_policy::{Diagnostic, Diagnostics, SourceFile, Style};
use portcullis_signals::Host;
use sha2::{Digest, Sha256};

use super::parse;
use super::reader::{Faults, Table, Value, nearest, quote, span};
use super::sections::{Unique, name};

/// Where the sites that are not proxied are written down, and where they are served.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SitesSettings {
    /// The file with the `[[site]]` tables.
    pub file: PathBuf,
    /// Hosts that belong to the gateway alone: there the paths are short, as in `/widget.js` and `/siteverify`.
    pub hosts: Vec<String>,
}

/// The sites of a file.
#[derive(Debug)]
pub struct LoadedSites {
    /// What the file says.
    pub keys: SiteKeys,
    /// Warnings only.
    pub warnings: Diagnostics,
    /// A digest of the file and of the secrets that it names: the same means that nothing changed.
    pub version: [u8; 32],
}

/// Why there are no sites.
#[derive(Debug)]
pub enum SitesError {
    /// The file cannot be read.
    Unreadable(PathBuf, io::Error),
    /// It is longer than any such file.
    TooLong(PathBuf),
    /// Everything that is wrong with it.
    Faulty(Diagnostics),
}

impl SitesError {
    /// What is wrong, as text for people; ends in a line feed.
    pub fn render(&self, style: Style) -> String {
        match self {
            Self::Unreadable(path, error) => {
                format!(
                    "error: cannot read the sites in `{}`: {error}\n  = help: `file` in `[sites]` names it\n",
                    path.display()
                )
            }
            Self::TooLong(path) => {
                format!("error: `{}` is longer than the {MAX_FILE_BYTES} bytes of a file of sites\n", path.display())
            }
            Self::Faulty(diagnostics) => diagnostics.render(style),
        }
    }

    /// How many faults there are.
    pub fn count(&self) -> usize {
        match self {
            Self::Faulty(diagnostics) => diagnostics.errors().count(),
            _ => 1,
        }
    }
}

impl fmt::Display for SitesError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.render(Style::Plain).trim_end())
    }
}

impl std::error::Error for SitesError {}

/// The longest file of sites: ten thousand of them fit.
const MAX_FILE_BYTES: u64 = 8 << 20;

/// The most sites: each is a row in the metrics.
const MAX_SITES: usize = 10_000;

/// The longest file that is read as a secret.
const MAX_SECRET_FILE_BYTES: u64 = 4096;

/// The most that an allowance may be. More is a slip of the finger, and no limit is said by leaving it out.
const MAX_ALLOWANCE: u64 = 1_000_000_000_000;

/// The section of the settings.
pub(super) fn sites(mut table: Table<'_>, base: &Path, faults: &mut Faults) -> Option<SitesSettings> {
    let file = table.path("file", base, faults);
    let value = table.value("hosts");
    if let (Some(value), None) = (&value, &file) {
        let warning = Diagnostic::warning("`hosts` in `[sites]` is not read, because there are no sites")
            .at(span(&value.place), "nothing is served there");
        faults.add(warning.help("name the file of the sites, as in `file = \"sites.toml\"`"));
    }
    let hosts = value.and_then(|value| value.list(HOST, faults)).unwrap_or_default();
    let hosts = hosts.iter().filter_map(|item| host(item, faults)).collect();
    table.finish(faults);
    file.map(|file| SitesSettings { file, hosts })
}

const HOST: &str = "challenge.shop.example";

fn host(item: &Value<'_>, faults: &mut Faults) -> Option<String> {
    let text = item.text(faults)?;
    match Host::of(text) {
        Ok(host) if host.as_str() == text => Some(text.to_owned()),
        _ => {
            let fault = item.fault("has something that is no host", "not a host in lower case, without a port");
            faults.add(fault.help(format!("write one as in `{HOST}`")));
            None
        }
    }
}

impl SitesSettings {
    /// Reads the sites, which may be judged by these routes.
    ///
    /// # Errors
    ///
    /// Where the file cannot be read, and every fault in it and in the secrets that it names.
    pub fn load(&self, routes: &[&str]) -> Result<LoadedSites, SitesError> {
        let text = read(&self.file, MAX_FILE_BYTES).map_err(|fault| match fault {
            ReadFault::Io(error) => SitesError::Unreadable(self.file.clone(), error),
            ReadFault::TooLong => SitesError::TooLong(self.file.clone()),
        })?;
        let base = self.file.parent().unwrap_or(Path::new(""));
        let digest = Sha256::new().chain_update(&text);
        let file = SourceFile::new(self.file.display().to_string(), text);
        read_sites(file, base, routes, digest)
    }
}

fn read_sites(file: SourceFile, base: &Path, routes: &[&str], mut digest: Sha256) -> Result<LoadedSites, SitesError> {
    let read = |mut root: Table<'_>, faults: &mut Faults| {
        let mut reader =
            Reader { base, routes, names: Unique::default(), keys: Unique::default(), secrets: Vec::new() };
        let tables = root.tables("site", "`[[site]]`", faults);
        if tables.len() > MAX_SITES {
            faults.add(Diagnostic::error(format!("there are more than {MAX_SITES} sites")).help("leave some out"));
        }
        let sites: Vec<_> = tables.into_iter().take(MAX_SITES).filter_map(|table| reader.site(table, faults)).collect();
        root.finish(faults);
        for (secret, _) in &reader.secrets {
            digest.update(secret);
        }
        sites
    };
    let (sites, warnings) = parse(file, read).map_err(SitesError::Faulty)?;
    // What two sites may not share was looked for already, with its place.
    let keys = SiteKeys::new(sites).map_err(|error| {
        let mut faults = Diagnostics::of(std::sync::Arc::new([]));
        faults.push(Diagnostic::error(error.to_string()));
        SitesError::Faulty(faults)
    })?;
    Ok(LoadedSites { keys, warnings, version: digest.finalize().into() })
}

/// Reads one `[[site]]` after the other.
struct Reader<'a> {
    base: &'a Path,
    routes: &'a [&'a str],
    names: Unique,
    keys: Unique,
    /// The digest of each secret, and where its file is named.
    secrets: Vec<([u8; 32], std::ops::Range<usize>)>,
}

impl Reader<'_> {
    fn site(&mut self, mut table: Table<'_>, faults: &mut Faults) -> Option<SiteKey> {
        let name = name(&mut table, "shop", &mut self.names, faults);
        let public = self.public(&mut table, faults);
        let secret =
            table.required("secret_file", "\"shop.secret\"", faults).and_then(|value| self.secret(&value, faults));
        let production = table.required("origins", "[\"https://shop.example\"]", faults);
        let production = production.map(|value| origins(&value, faults)).unwrap_or_default();
        let testing = table.value("testing_origins").map(|value| origins(&value, faults)).unwrap_or_default();
        let preset = table.choice("preset", &PRESETS, Preset::default(), faults);
        let mode = table.choice("mode", &MODES, SiteMode::default(), faults);
        let score = table.choice("score", &SCORES, ScoreSense::default(), faults);
        let route = self.route(&mut table, faults);
        let allowance = table.number("monthly_allowance", 0..=MAX_ALLOWANCE, u64::MAX, faults);
        table.finish(faults);
        Some(SiteKey {
            name: name?.to_string(),
            public: public?,
            secret: secret?,
            production,
            testing,
            preset,
            mode,
            route,
            monthly_allowance: (allowance != u64::MAX).then_some(allowance),
            score,
        })
    }

    fn public(&mut self, table: &mut Table<'_>, faults: &mut Faults) -> Option<String> {
        let value = table.required("key", "\"pk_shop_1\"", faults)?;
        let text = value.text(faults)?;
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        if !(4..=64).contains(&text.len()) || !text.bytes().all(fits) {
            let fault = value.fault("is not a public key", "not 4 to 64 letters, digits, `-`, `_` and `.`");
            faults.add(fault.help("it stands in the site's pages for everybody to read; write one as in `pk_shop_1`"));
            return None;
        }
        self.keys.check(text, &value, "key", faults);
        Some(text.to_owned())
    }

    /// The secret in a file. It is compared as text, so that text is what counts: no hex or base64 is undone.
    fn secret(&mut self, value: &Value<'_>, faults: &mut Faults) -> Option<SiteSecret> {
        let path = value.path(self.base, faults)?;
        let text = match read(&path, MAX_SECRET_FILE_BYTES) {
            Ok(text) => text,
            Err(fault) => {
                let label = format!("`{}`: {fault}", path.display());
                let fault = value.fault("cannot be read", &label);
                faults.add(fault.help("make one with `openssl rand -hex 32`; the site's backend has it too"));
                return None;
            }
        };
        let text = text.trim();
        let secret = text.bytes().all(|byte| byte.is_ascii_graphic()).then(|| SiteSecret::new(text));
        let Some(Ok(secret)) = secret else {
            let label = format!(
                "expected {MIN_SITE_SECRET_BYTES} or more visible ASCII characters in `{}`, without a space",
                path.display()
            );
            faults.add(value.fault("names no good secret", &label).help("make one with `openssl rand -hex 32`"));
            return None;
        };
        let digest: [u8; 32] = Sha256::digest(text).into();
        if let Some((_, first)) = self.secrets.iter().find(|(known, _)| *known == digest) {
            let fault = value.fault("holds the secret of another site", "the same secret");
            let fault = fault.beside(span(first), "first used here");
            faults.add(fault.help("give each site its own; `openssl rand -hex 32` makes one"));
        }
        self.secrets.push((digest, value.place().clone()));
        Some(secret)
    }

    /// The route that judges the site's visitors; without one, what the rules say of requests that no route takes.
    fn route(&self, table: &mut Table<'_>, faults: &mut Faults) -> String {
        let Some(value) = table.value("route") else { return String::new() };
        let Some(text) = value.text(faults) else { return String::new() };
        if !self.routes.contains(&text) {
            let fault = value.fault(&format!("cannot be {}", quote(text)), "no such route in the rules");
            faults.add(match nearest(text, self.routes) {
                Some(name) => fault.help(format!("did you mean `{name}`?")),
                None => fault.help("name a `[[route]]` of the rules, or leave the key out for their `[defaults]`"),
            });
        }
        text.to_owned()
    }
}

const PRESETS: [(&str, Preset); 3] =
    [("relaxed", Preset::Relaxed), ("balanced", Preset::Balanced), ("strict", Preset::Strict)];
const MODES: [(&str, SiteMode); 2] = [("enforce", SiteMode::Enforce), ("monitor", SiteMode::Monitor)];
const SCORES: [(&str, ScoreSense); 2] = [("risk", ScoreSense::Risk), ("trust", ScoreSense::Trust)];

fn origins(value: &Value<'_>, faults: &mut Faults) -> Vec<OriginPattern> {
    const EXAMPLE: &str = "https://shop.example";
    let Some(items) = value.list(EXAMPLE, faults) else { return Vec::new() };
    if items.is_empty() {
        faults.add(value.fault("is empty", "no page could use it").help(format!("write it as in `[\"{EXAMPLE}\"]`")));
    }
    let origin = |item: &Value<'_>, faults: &mut Faults| {
        let text = item.text(faults)?;
        let pattern = OriginPattern::parse(text).ok();
        if pattern.is_none() {
            let fault = Diagnostic::error(format!("{} in `{}` is not an origin", quote(text), item.key));
            let fault = fault.at(span(item.place()), "not a scheme and a host in lower case");
            faults.add(fault.help(
                "write one as in `https://shop.example`, `https://*.shop.example` or `http://localhost:*`, without a path",
            ));
        }
        pattern
    };
    items.iter().filter_map(|item| origin(item, faults)).collect()
}

enum ReadFault {
    Io(io::Error),
    TooLong,
}

impl fmt::Display for ReadFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => error.fmt(f),
            Self::TooLong => f.write_str("it is too long"),
        }
    }
}

fn read(path: &Path, max_bytes: u64) -> Result<String, ReadFault> {
    // To open a pipe that nobody writes to would wait for ever.
    if !std::fs::metadata(path).map_err(ReadFault::Io)?.is_file() {
        return Err(ReadFault::Io(io::Error::other("it is no regular file")));
    }
    let mut text = String::new();
    let file = File::open(path).map_err(ReadFault::Io)?;
    let length = file.take(max_bytes + 1).read_to_string(&mut text).map_err(ReadFault::Io)?;
    if u64::try_from(length).unwrap_or(u64::MAX) > max_bytes { Err(ReadFault::TooLong) } else { Ok(text) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Scratch;

    /// A folder with two secrets, gone with its test.
    struct Folder(Scratch);

    impl Folder {
        fn new(name: &str) -> Self {
            let folder = Scratch::new(&format!("sites-{name}"));
            for (file, text) in [("a", "a".repeat(64)), ("b", "b".repeat(64) + "\n"), ("short", "c".repeat(23))] {
                std::fs::write(folder.0.join(file), text).unwrap();
            }
            Self(folder)
        }

        fn read(&self, text: &str) -> Result<LoadedSites, String> {
            let file = SourceFile::new("sites.toml", text);
            read_sites(file, &self.0.0, &["contact form", "sign-up"], Sha256::new())
                .map_err(|error| error.to_string().replace(&self.0.0.display().to_string(), "FOLDER"))
        }
    }

    #[test]
    fn a_site_is_read_with_its_defaults() {
        let folder = Folder::new("defaults");
        let text =
            "[[site]]\nname = \"shop\"\nkey = \"pk_1\"\nsecret_file = \"a\"\norigins = [\"https://shop.example\"]\n";
        let loaded = folder.read(text).unwrap();
        let site = loaded.keys.by_public("pk_1").unwrap();
        assert_eq!((site.preset, site.mode, site.score), (Preset::Balanced, SiteMode::Enforce, ScoreSense::Risk));
        assert_eq!((site.monthly_allowance, site.route.as_str(), site.testing.len()), (None, "", 0));
        assert_eq!(loaded.keys.by_secret(&"a".repeat(64)).map(|site| site.name.as_str()), Some("shop"));
        let other = folder.read(&text.replace("\"a\"", "\"b\"")).unwrap();
        assert!(other.keys.by_secret(&"b".repeat(64)).is_some(), "the line's end is no part of it");
        assert_ne!(loaded.version, other.version);
    }

    #[test]
    fn every_fault_of_a_file_of_sites_is_told_with_its_place_and_a_remedy() {
        let folder = Folder::new("faults");
        let told = folder
            .read(
                r#"[[site]]
name = "shop"
key = "pk_shop"
secret_file = "a"
origins = ["https://shop.example/", "shop.example"]
preset = "stict"
route = "signup"
monthly_alowance = 5

[[site]]
name = "shop"
key = "pk_shop"
secret_file = "a"
origins = []
monthly_allowance = -1

[[site]]
key = "p k"
secret_file = "short"

[[site]]
name = "blog"
key = "pk_blog"
secret_file = "nowhere"
origins = ["https://blog.example"]
"#,
            )
            .unwrap_err();
        insta::assert_snapshot!(told, @r#"
        error: `https://shop.example/` in `origins` is not an origin
         --> sites.toml:5:12
          |
        5 | origins = ["https://shop.example/", "shop.example"]
          |            ^^^^^^^^^^^^^^^^^^^^^^^ not a scheme and a host in lower case
          |
          = help: write one as in `https://shop.example`, `https://*.shop.example` or `http://localhost:*`, without a path

        error: `shop.example` in `origins` is not an origin
         --> sites.toml:5:37
          |
        5 | origins = ["https://shop.example/", "shop.example"]
          |                                     ^^^^^^^^^^^^^^ not a scheme and a host in lower case
          |
          = help: write one as in `https://shop.example`, `https://*.shop.example` or `http://localhost:*`, without a path

        error: `preset` cannot be `stict`
         --> sites.toml:6:10
          |
        6 | preset = "stict"
          |          ^^^^^^^ no such choice
          |
          = help: did you mean `strict`?

        error: `route` cannot be `signup`
         --> sites.toml:7:9
          |
        7 | route = "signup"
          |         ^^^^^^^^ no such route in the rules
          |
          = help: did you mean `sign-up`?

        error: unknown key `monthly_alowance` in `[[site]]`
         --> sites.toml:8:1
          |
        8 | monthly_alowance = 5
          | ^^^^^^^^^^^^^^^^ no such key
          |
          = help: did you mean `monthly_allowance`?

        error: the name `shop` is used twice
          --> sites.toml:11:8
           |
         2 | name = "shop"
           |        ------ first used here
        ...
        11 | name = "shop"
           |        ^^^^^^ again here
           |
           = help: give each its own name

        error: the key `pk_shop` is used twice
          --> sites.toml:12:7
           |
         3 | key = "pk_shop"
           |       --------- first used here
        ...
        12 | key = "pk_shop"
           |       ^^^^^^^^^ again here
           |
           = help: give each its own key

        error: `secret_file` holds the secret of another site
          --> sites.toml:13:15
           |
         4 | secret_file = "a"
           |               --- first used here
        ...
        13 | secret_file = "a"
           |               ^^^ the same secret
           |
           = help: give each site its own; `openssl rand -hex 32` makes one

        error: `origins` is empty
          --> sites.toml:14:11
           |
        14 | origins = []
           |           ^^ no page could use it
           |
           = help: write it as in `["https://shop.example"]`

        error: `monthly_allowance` is out of range
          --> sites.toml:15:21
           |
        15 | monthly_allowance = -1
           |                     ^^ not from 0 to 1000000000000
           |
           = help: write a whole number from 0 to 1000000000000

        error: `name` is missing in `[[site]]`
          --> sites.toml:17:1
           |
        17 | [[site]]
           | ^^^^^^^^ has no `name`
           |
           = help: add `name = "shop"`

        error: `origins` is missing in `[[site]]`
          --> sites.toml:17:1
           |
        17 | [[site]]
           | ^^^^^^^^ has no `origins`
           |
           = help: add `origins = ["https://shop.example"]`

        error: `key` is not a public key
          --> sites.toml:18:7
           |
        18 | key = "p k"
           |       ^^^^^ not 4 to 64 letters, digits, `-`, `_` and `.`
           |
           = help: it stands in the site's pages for everybody to read; write one as in `pk_shop_1`

        error: `secret_file` names no good secret
          --> sites.toml:19:15
           |
        19 | secret_file = "short"
           |               ^^^^^^^ expected 24 or more visible ASCII characters in `FOLDER/short`, without a space
           |
           = help: make one with `openssl rand -hex 32`

        error: `secret_file` cannot be read
          --> sites.toml:24:15
           |
        24 | secret_file = "nowhere"
           |               ^^^^^^^^^ `FOLDER/nowhere`: No such file or directory (os error 2)
           |
           = help: make one with `openssl rand -hex 32`; the site's backend has it too
        "#);
    }
}
