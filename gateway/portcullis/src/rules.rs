//! Rules from a folder: every `*.toml` file in it, in the order of their names, the lists in its folder `lists`, and the
//! pages in its folder `pages`.

use std::fmt;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use portcullis_policy::{
    Compiled, Diagnostic, Diagnostics, LISTS_FOLDER, Origins, PAGES_FOLDER, RuleSet, SourceFile, Span, Style,
};
use portcullis_signals::{FAMILIES_FOLDER, Families, FamiliesFault};
use sha2::{Digest, Sha256};

use crate::origins::OriginSettings;

/// The largest rules file. A hundred thousand networks fit into a third of it.
const MAX_FILE_BYTES: u64 = 16 << 20;

/// How many rules files a folder may have.
const MAX_FILES: usize = 10_000;

/// Why there are no rules.
#[derive(Debug)]
pub enum RulesError {
    /// A file or folder cannot be read.
    Unreadable(PathBuf, io::Error),
    /// Something has the name of a rules file, and is none: a folder, a pipe, a device.
    NotAFile(PathBuf),
    /// A file is longer than any rules file.
    TooLong(PathBuf),
    /// The folder has more files than any folder of rules.
    TooMany(PathBuf),
    /// The folder has no rules file.
    Empty(PathBuf),
    /// Everything that is wrong with the rules, or with the rows about browsers beside them.
    Faulty(Diagnostics),
}

impl RulesError {
    /// What is wrong, as text for people; ends in a line feed.
    pub fn render(&self, style: Style) -> String {
        match self {
            Self::Unreadable(path, error) => format!("error: cannot read the rules in `{}`: {error}\n", path.display()),
            Self::NotAFile(path) => format!(
                "error: `{}` is not a regular file\n  = help: move it out of the folder, or give it a name that does not end in `.toml`\n",
                path.display()
            ),
            Self::TooLong(path) => {
                format!("error: `{}` is longer than the {MAX_FILE_BYTES} bytes of a rules file\n", path.display())
            }
            Self::TooMany(path) => format!("error: `{}` has more than {MAX_FILES} rules files\n", path.display()),
            Self::Empty(path) => format!(
                "error: there is no rules file in `{}`\n  = help: rules stand in files whose names end in `.toml`\n",
                path.display()
            ),
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

impl fmt::Display for RulesError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.render(Style::Plain).trim_end())
    }
}

impl std::error::Error for RulesError {}

/// Rules that can be put in force, and the files that they came from.
#[derive(Debug)]
pub struct LoadedRules {
    /// What the files say.
    pub compiled: Compiled,
    /// What browsers send: the rows that are shipped, and those of the folder in their place.
    pub families: Arc<Families>,
    /// The rows of the folder alone, where it has any.
    pub own_families: Option<OwnFamilies>,
    /// How many files there were, those of lists and pages left out.
    pub files: usize,
    /// How many files of lists there were.
    pub lists: usize,
    /// The text of all of them.
    pub sources: Arc<[SourceFile]>,
}

/// The rules that are shipped, by the names of their files.
pub const SHIPPED: &[(&str, &str)] = &[
    ("access.toml", include_str!("../../../rules/access.toml")),
    ("defaults.toml", include_str!("../../../rules/defaults.toml")),
    ("routes.toml", include_str!("../../../rules/routes.toml")),
];

/// Compiles the rules that are shipped.
///
/// # Errors
///
/// Never, as a test holds.
pub fn shipped() -> Result<LoadedRules, RulesError> {
    let files: Vec<_> = SHIPPED.iter().map(|(name, text)| SourceFile::new(*name, *text)).collect();
    let compiled = RuleSet::compile(&files).map_err(RulesError::Faulty)?;
    Ok(LoadedRules {
        compiled,
        families: Arc::new(Families::shipped().clone()),
        own_families: None,
        files: files.len(),
        lists: 0,
        sources: files.into(),
    })
}

/// Reads and compiles the rules in a folder, or in one file.
///
/// Where the pools of origins are given, every route must go to one of them.
///
/// # Errors
///
/// Where something cannot be read, and every fault in the rules.
pub fn load(path: &Path, origins: Option<&[OriginSettings]>) -> Result<LoadedRules, RulesError> {
    let mut files = read(path)?;
    let own = files.len();
    files.extend(read_lists(path, &files)?);
    let lists = files.len() - own;
    files.extend(read_pages(path, &files)?);
    let mut loaded = compile(path, files.into(), origins)?;
    for overlooked in overlooked(path) {
        let title = format!("`{}` is not read", overlooked.display());
        let help =
            "rules stand in the folder itself, in files whose names end in `.toml`: move it there, or take it away";
        loaded.compiled.warnings.push(Diagnostic::warning(title).help(help));
    }
    Ok(LoadedRules { files: own, lists, ..loaded })
}

/// Compiles the rules that were loaded from a folder with the lists that are there now; none where these are the same.
///
/// So lists take effect though somebody left the rules beside them half edited.
///
/// # Errors
///
/// As [`load`].
pub fn load_lists(
    path: &Path,
    known: &[SourceFile],
    origins: Option<&[OriginSettings]>,
) -> Result<Option<LoadedRules>, RulesError> {
    let (old, rules): (Vec<_>, Vec<_>) = known.iter().cloned().partition(|file| is_list(Path::new(&file.name)));
    let new = read_lists(path, &rules)?;
    if new == old {
        return Ok(None);
    }
    let pages = rules.iter().filter(|file| is_page(Path::new(&file.name))).count();
    let (files, lists) = (rules.len() - pages, new.len());
    let loaded = compile(path, rules.into_iter().chain(new).collect(), origins)?;
    Ok(Some(LoadedRules { files, lists, ..loaded }))
}

fn compile(
    path: &Path,
    sources: Arc<[SourceFile]>,
    origins: Option<&[OriginSettings]>,
) -> Result<LoadedRules, RulesError> {
    let names: Option<Vec<&str>> = origins.map(|origins| origins.iter().map(|origin| &*origin.name).collect());
    let origins = names.as_deref().map_or(Origins::Any, Origins::Known);
    let mut compiled = RuleSet::compile_for(&sources, origins).map_err(RulesError::Faulty)?;
    let own = own_families(path)?;
    let families =
        own.as_ref().map_or_else(|| Families::shipped().clone(), |own| Families::shipped().overlaid(&own.rows));
    if let Some(own) = &own {
        let version = own.version(compiled.rules.version());
        compiled.rules = compiled.rules.versioned(version);
    }
    let files = sources.len();
    Ok(LoadedRules { compiled, families: Arc::new(families), own_families: own, files, lists: 0, sources })
}

/// The rows about browsers that stand in a folder of rules.
#[derive(Debug)]
pub struct OwnFamilies {
    /// The rows of all files together.
    pub rows: Families,
    /// How many files there are.
    pub files: usize,
    digest: Sha256,
}

impl OwnFamilies {
    /// The version of rules that are judged by these rows: what is decided depends on both.
    fn version(&self, rules: &str) -> Arc<str> {
        let digest = self.digest.clone().chain_update(rules).finalize();
        digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect::<String>().into()
    }
}

/// Reads the rows about browsers in the folder `families` of a folder of rules, if it has one.
fn own_families(rules: &Path) -> Result<Option<OwnFamilies>, RulesError> {
    let folder = rules.join(FAMILIES_FOLDER);
    if !folder.is_dir() {
        return Ok(None);
    }
    let files: Arc<[SourceFile]> = read(&folder)?.into();
    let mut faults = Diagnostics::of(Arc::clone(&files));
    let mut own = OwnFamilies { rows: Families::default(), files: files.len(), digest: Sha256::new() };
    for (number, file) in (0..).zip(files.iter()) {
        match Families::parse(&file.name, &file.text) {
            Ok(rows) => own.rows = own.rows.joined(rows),
            Err(error) => error.faults().iter().for_each(|fault| faults.push(diagnostic(number, fault))),
        }
        own.digest.update(&file.text);
    }
    if faults.has_errors() { Err(RulesError::Faulty(faults)) } else { Ok(Some(own)) }
}

/// A fault of a file of rows, told as one of a file of rules.
fn diagnostic(file: u32, fault: &FamiliesFault) -> Diagnostic {
    // Files are bounded, so every offset fits.
    let offset = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
    let span = Span { file, start: offset(fault.at.start), end: offset(fault.at.end) };
    let told = Diagnostic::error(fault.title.as_str()).at(span, fault.label.as_str());
    if fault.help.is_empty() { told } else { told.help(fault.help.as_str()) }
}

/// Reads the rules files of a folder, or one file.
///
/// # Errors
///
/// Where something cannot be read, or there is no rules file.
pub fn read(path: &Path) -> Result<Vec<SourceFile>, RulesError> {
    let unreadable = |error| RulesError::Unreadable(path.to_owned(), error);
    if !fs::metadata(path).map_err(unreadable)?.is_dir() {
        return Ok(vec![read_file(path)?]);
    }
    let mut paths = Vec::new();
    for entry in fs::read_dir(path).map_err(unreadable)? {
        let file = entry.map_err(unreadable)?.path();
        if !is_rules_file(&file) {
            continue;
        }
        if paths.len() == MAX_FILES {
            return Err(RulesError::TooMany(path.to_owned()));
        }
        paths.push(file);
    }
    if paths.is_empty() {
        return Err(RulesError::Empty(path.to_owned()));
    }
    paths.sort();
    paths.iter().map(|file| read_file(file)).collect()
}

/// What somebody may have meant as rules in a folder and nobody reads: files in a folder within it, or whose names end
/// in `.TOML`.
fn overlooked(folder: &Path) -> Vec<PathBuf> {
    let entries = |folder: &Path| -> Vec<PathBuf> {
        let entries = fs::read_dir(folder).into_iter().flatten().take(MAX_FILES);
        entries.filter_map(|entry| Some(entry.ok()?.path())).filter(|path| !is_hidden(path)).collect()
    };
    let is_own = |path: &Path| [LISTS_FOLDER, FAMILIES_FOLDER, PAGES_FOLDER].iter().any(|own| path.ends_with(own));
    let like_rules = |path: &Path| {
        let ends = |end: &std::ffi::OsStr| end.eq_ignore_ascii_case("toml") && end != "toml";
        let within = path.is_dir() && !is_own(path) && entries(path).iter().any(|file| is_rules_file(file));
        within || path.extension().is_some_and(ends)
    };
    let mut found: Vec<_> = entries(folder).into_iter().filter(|path| like_rules(path)).collect();
    found.sort();
    found
}

/// Reads the lists beside these rules. Those beside a file that is loaded by itself are read where it names one.
fn read_lists(path: &Path, rules: &[SourceFile]) -> Result<Vec<SourceFile>, RulesError> {
    let is_quoted = |file: &SourceFile| ["\"@", "'@"].iter().any(|quoted| file.text.contains(quoted));
    let is_named = path.is_dir() || rules.iter().any(is_quoted);
    if is_named { read_beside(path, LISTS_FOLDER, is_list) } else { Ok(Vec::new()) }
}

/// Reads the pages beside these rules, in the same way.
fn read_pages(path: &Path, rules: &[SourceFile]) -> Result<Vec<SourceFile>, RulesError> {
    let is_named = path.is_dir() || rules.iter().any(|file| file.text.contains("pages/"));
    if is_named { read_beside(path, PAGES_FOLDER, is_page) } else { Ok(Vec::new()) }
}

/// Reads the files of a folder within that of the rules, in the order of their names.
fn read_beside(path: &Path, folder: &str, is_one: fn(&Path) -> bool) -> Result<Vec<SourceFile>, RulesError> {
    let rules = if path.is_dir() { path } else { path.parent().unwrap_or(Path::new("")) };
    let folder = rules.join(folder);
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    let unreadable = |error| RulesError::Unreadable(folder.clone(), error);
    let mut paths = Vec::new();
    for entry in fs::read_dir(&folder).map_err(unreadable)? {
        let file = entry.map_err(unreadable)?.path();
        if !is_one(&file) {
            continue;
        }
        if paths.len() == MAX_FILES {
            return Err(RulesError::TooMany(folder.clone()));
        }
        paths.push(file);
    }
    paths.sort();
    paths.iter().map(|file| read_file(file)).collect()
}

/// Whether a path is that of a rules file; those that editors leave behind are none.
pub fn is_rules_file(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "toml") && !is_hidden(path)
}

/// Whether a path is that of a list: a file of values, or its head, in the folder of lists.
pub fn is_list(path: &Path) -> bool {
    let in_folder = path.parent().is_some_and(|folder| folder.ends_with(LISTS_FOLDER));
    let kind = path.extension().is_some_and(|extension| extension == "toml" || extension == "txt");
    in_folder && kind && !is_hidden(path)
}

/// Whether a path is that of a page: an HTML file in the folder of pages.
pub fn is_page(path: &Path) -> bool {
    let in_folder = path.parent().is_some_and(|folder| folder.ends_with(PAGES_FOLDER));
    in_folder && path.extension().is_some_and(|extension| extension == "html") && !is_hidden(path)
}

fn is_hidden(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."))
}

fn read_file(path: &Path) -> Result<SourceFile, RulesError> {
    let unreadable = |error| RulesError::Unreadable(path.to_owned(), error);
    let mut text = String::new();
    // To open a pipe that nobody writes to would wait for ever.
    if !fs::metadata(path).map_err(unreadable)?.is_file() {
        return Err(RulesError::NotAFile(path.to_owned()));
    }
    let file = fs::File::open(path).map_err(unreadable)?;
    let length = file.take(MAX_FILE_BYTES + 1).read_to_string(&mut text).map_err(unreadable)?;
    if u64::try_from(length).unwrap_or(u64::MAX) > MAX_FILE_BYTES {
        return Err(RulesError::TooLong(path.to_owned()));
    }
    Ok(SourceFile::new(path.display().to_string(), text))
}

/// What differs in meaning between two rule sets, in words for the log.
pub fn difference(old: &RuleSet, new: &RuleSet) -> String {
    let lines = old.difference(new);
    let more = lines.len().saturating_sub(MAX_LISTED);
    let more = if more > 0 { format!("; and {more} more") } else { String::new() };
    let shown: Vec<_> = lines.into_iter().take(MAX_LISTED).collect();
    if shown.is_empty() { "nothing that decides".to_owned() } else { format!("{}{more}", shown.join("; ")) }
}

/// How many differences a log line lists.
const MAX_LISTED: usize = 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_file_is_refused_and_not_waited_for() {
        // A socket and a folder stand for a pipe, which takes a command to make.
        let folder = std::env::temp_dir().join(format!("portcullis-no-file-{}", std::process::id()));
        fs::create_dir_all(folder.join("sub.toml")).unwrap();
        let socket = folder.join("a.toml");
        let _listening = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        let refused = read(&folder);
        let alone = read_file(&folder.join("sub.toml"));
        fs::remove_dir_all(&folder).unwrap();
        assert!(matches!(&refused, Err(RulesError::NotAFile(path)) if *path == socket), "{refused:?}");
        assert!(matches!(alone, Err(RulesError::NotAFile(_))), "{alone:?}");
    }

    #[test]
    fn what_looks_like_rules_and_is_not_read_is_told() {
        let folder = std::env::temp_dir().join(format!("portcullis-overlooked-{}", std::process::id()));
        for sub in ["extra", "lists", "families", ".old", "notes"] {
            fs::create_dir_all(folder.join(sub)).unwrap();
        }
        for file in ["a.toml", "B.TOML", "README.md", "extra/c.toml", "lists/l.toml", ".old/d.toml", "notes/n.txt"] {
            fs::write(folder.join(file), "").unwrap();
        }
        let (found, of_a_file) = (overlooked(&folder), overlooked(&folder.join("a.toml")));
        fs::remove_dir_all(&folder).unwrap();
        assert_eq!(found, [folder.join("B.TOML"), folder.join("extra")]);
        assert_eq!(of_a_file, Vec::<PathBuf>::new());
    }

    #[test]
    fn every_file_in_the_shipped_folder_is_compiled_in() {
        let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../rules"));
        let read = read(folder).unwrap();
        assert_eq!(read.len(), SHIPPED.len());
        for (file, (name, text)) in read.iter().zip(SHIPPED) {
            assert!(file.name.ends_with(name) && file.text == *text, "{name}");
        }
        assert!(shipped().unwrap().compiled.warnings.is_empty());
    }

    #[test]
    fn files_of_editors_are_no_rules_files() {
        for (name, is) in [
            ("a.toml", true),
            (".a.toml", false),
            (".#a.toml", false),
            ("a.toml~", false),
            ("a.toml.swp", false),
            ("README.md", false),
        ] {
            assert_eq!(is_rules_file(Path::new(name)), is, "{name}");
        }
    }
}
