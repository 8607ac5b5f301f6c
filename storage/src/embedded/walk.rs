//! Listing a bucket in the order of its keys, reading only the folders that a page needs.
//! Blocking.

use std::{
    fs::{self, File},
    io,
    ops::ControlFlow,
    path::Path,
    time::SystemTime,
};

use super::{names, record};

/// What to list.
#[derive(Clone, Debug, Default)]
pub struct Query {
    /// Start of the keys.
    pub prefix: String,
    /// Only what comes after this key or common prefix; empty: everything.
    pub after: String,
    /// Groups keys by what is before its next occurrence after the prefix; empty: no groups.
    pub delimiter: String,
    /// Most entries.
    pub limit: usize,
}

/// A page of a listing.
#[derive(Debug, Default)]
pub struct Page {
    /// Objects in order.
    pub objects: Vec<Entry>,
    /// Common prefixes in order.
    pub prefixes: Vec<String>,
    /// Where the next page starts, if there is one.
    pub next: Option<String>,
}

/// An object in a listing.
#[derive(Debug)]
pub struct Entry {
    /// Its key.
    pub key: String,
    /// Its size.
    pub bytes: u64,
    /// Its entity tag.
    pub etag: String,
    /// When it was put.
    pub modified: SystemTime,
}

/// Lists a bucket's folder.
pub fn list(bucket: &Path, query: &Query) -> io::Result<Page> {
    let mut walk = Walk { query, page: Page::default(), last: String::new() };
    if query.limit > 0 {
        let _ = walk.visit(bucket, "")?;
    }
    Ok(walk.page)
}

struct Walk<'a> {
    query: &'a Query,
    page: Page,
    /// Last key or common prefix of the page.
    last: String,
}

/// A folder's entry. Sorting these as bytes sorts the keys below them: an object by its key, a
/// folder by its key with the slash that all keys in it have.
struct Child {
    key: String,
    is_folder: bool,
    name: std::ffi::OsString,
}

impl Walk<'_> {
    /// Visits a folder whose keys start with `base` (empty, or ending in a slash). Breaks when the
    /// page is full.
    fn visit(&mut self, folder: &Path, base: &str) -> io::Result<ControlFlow<()>> {
        for child in children(folder, base)? {
            let flow = if child.is_folder {
                if !self.may_hold(&child.key) {
                    continue;
                }
                match self.group(&child.key) {
                    // All of the folder is in one group: one object in it is enough to know.
                    Some(group) if group.len() <= child.key.len() => {
                        let path = folder.join(&child.name);
                        if self.is_new(&group) && holds_object(&path)? { self.add_group(group) } else { continue }
                    }
                    _ => self.visit(&folder.join(&child.name), &child.key)?,
                }
            } else {
                if !child.key.starts_with(&self.query.prefix) || child.key <= self.query.after {
                    continue;
                }
                match self.group(&child.key) {
                    Some(group) if self.is_new(&group) => self.add_group(group),
                    Some(_) => continue,
                    None => self.add_object(folder, child)?,
                }
            };
            if flow.is_break() {
                return Ok(flow);
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    /// Whether a folder can hold keys that are wanted.
    fn may_hold(&self, base: &str) -> bool {
        let Query { prefix, after, .. } = self.query;
        let named = base.starts_with(prefix.as_str()) || prefix.starts_with(base);
        named && (base > after.as_str() || after.starts_with(base))
    }

    /// The common prefix that a key, or all keys of a folder, fall under.
    fn group(&self, key: &str) -> Option<String> {
        let Query { prefix, delimiter, .. } = self.query;
        if delimiter.is_empty() {
            return None;
        }
        let rest = key.strip_prefix(prefix.as_str())?;
        let end = rest.find(delimiter.as_str())? + delimiter.len();
        Some(format!("{prefix}{}", &rest[..end]))
    }

    fn is_new(&self, group: &str) -> bool {
        group > self.query.after.as_str() && self.page.prefixes.last().is_none_or(|last| last != group)
    }

    fn add_group(&mut self, group: String) -> ControlFlow<()> {
        self.admit()?;
        self.last.clone_from(&group);
        self.page.prefixes.push(group);
        ControlFlow::Continue(())
    }

    fn add_object(&mut self, folder: &Path, child: Child) -> io::Result<ControlFlow<()>> {
        let path = folder.join(&child.name);
        let found = File::open(&path).and_then(|mut file| Ok((record::read(&mut file)?, file.metadata()?.modified()?)));
        let (facts, modified) = match found {
            Ok(found) => found,
            // Deleted since its folder was read.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(ControlFlow::Continue(())),
            // Left in the listing it would pass for an object; as an error it would hide all others.
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                tracing::error!(path = %path.display(), "damaged object file left out of a listing");
                return Ok(ControlFlow::Continue(()));
            }
            Err(error) => return Err(error),
        };
        if self.admit().is_break() {
            return Ok(ControlFlow::Break(()));
        }
        self.last.clone_from(&child.key);
        self.page.objects.push(Entry { key: child.key, bytes: facts.bytes, etag: facts.etag, modified });
        Ok(ControlFlow::Continue(()))
    }

    /// Makes room for one more entry, or ends the page because there is one more.
    fn admit(&mut self) -> ControlFlow<()> {
        if self.page.objects.len() + self.page.prefixes.len() == self.query.limit {
            self.page.next = Some(std::mem::take(&mut self.last));
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    }
}

/// Entries of a folder in the order of their keys; none when it was removed meanwhile.
fn children(folder: &Path, base: &str) -> io::Result<Vec<Child>> {
    let mut children = Vec::new();
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(children),
        other => other?,
    };
    for entry in entries {
        let entry = entry?;
        let is_folder = entry.file_type()?.is_dir();
        let name = entry.file_name();
        let part = name
            .to_str()
            .and_then(|name| if is_folder { names::part_of_folder(name) } else { names::part_of_file(name) });
        let Some(part) = part else { continue };
        let slash = if is_folder { "/" } else { "" };
        children.push(Child { key: format!("{base}{part}{slash}"), is_folder, name });
    }
    children.sort_unstable_by(|a, b| a.key.cmp(&b.key));
    Ok(children)
}

/// Whether there is an object in a folder, at any depth.
pub fn holds_object(folder: &Path) -> io::Result<bool> {
    for child in children(folder, "")? {
        if !child.is_folder || holds_object(&folder.join(&child.name))? {
            return Ok(true);
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn bucket_of(keys: &BTreeSet<String>) -> tempfile::TempDir {
        let bucket = tempfile::tempdir().unwrap();
        for key in keys {
            let path = bucket.path().join(names::path_of(key).unwrap());
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, record::tail(&record::Facts::default()).unwrap()).unwrap();
        }
        bucket
    }

    /// What a listing must yield, by its definition.
    fn expected(keys: &BTreeSet<String>, query: &Query) -> Vec<String> {
        let mut entries = Vec::new();
        for key in keys.iter().filter(|key| key.starts_with(&query.prefix)) {
            let rest = &key[query.prefix.len()..];
            let entry = match rest.find(&query.delimiter) {
                Some(at) if !query.delimiter.is_empty() => {
                    format!("{}{}", query.prefix, &rest[..at + query.delimiter.len()])
                }
                _ => key.clone(),
            };
            if entry > query.after && entries.last() != Some(&entry) {
                entries.push(entry);
            }
        }
        entries
    }

    proptest! {
        #[test]
        fn pages_hold_every_entry_once_and_in_order(
            keys in prop::collection::btree_set("[a!/~.]{1,7}", 0..25),
            prefix in "[a!/]{0,3}",
            delimiter in prop::sample::select(vec!["", "/", "!", "a/"]),
            limit in 1_usize..5,
        ) {
            let keys: BTreeSet<String> = keys.into_iter().filter(|key| names::path_of(key).is_ok()).collect();
            let bucket = bucket_of(&keys);
            let mut query = Query { prefix, delimiter: delimiter.to_owned(), limit, ..Query::default() };
            let all = expected(&keys, &query);
            let mut listed = Vec::new();
            loop {
                let page = list(bucket.path(), &query).unwrap();
                let mut entries: Vec<String> = page.objects.into_iter().map(|entry| entry.key).collect();
                entries.extend(page.prefixes);
                entries.sort();
                prop_assert!(entries.len() <= limit);
                listed.extend(entries);
                let Some(next) = page.next else { break };
                prop_assert_eq!(Some(&next), listed.last());
                query.after = next;
            }
            prop_assert_eq!(listed, all);
        }
    }

    #[test]
    fn damaged_and_foreign_files_are_left_out() {
        let bucket = bucket_of(&BTreeSet::from(["a".to_owned()]));
        fs::write(bucket.path().join("b.obj"), "half").unwrap();
        fs::write(bucket.path().join("note.txt"), "hello").unwrap();
        let page = list(bucket.path(), &Query { limit: 10, ..Query::default() }).unwrap();
        assert_eq!(page.objects.len(), 1);
        assert!(page.next.is_none());
    }
}
