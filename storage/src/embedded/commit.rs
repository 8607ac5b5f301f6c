//! Giving a received body its name, durably and at once, and taking names away. Blocking.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
    sync::PoisonError,
};

use s3s::dto::ETagCondition;

use super::{
    conditions,
    folder::{Folder, Place, sync_folder},
    names, record,
    record::Facts,
    stage::Staged,
};

/// Conditions of a write.
#[derive(Clone, Debug, Default)]
pub struct WriteConditions {
    /// If-Match.
    pub matching: Option<ETagCondition>,
    /// If-None-Match.
    pub none_matching: Option<ETagCondition>,
}

/// How a write ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    /// Done, and durable.
    Done,
    /// A condition does not hold; nothing changed.
    Unmet,
    /// There was nothing to match; nothing changed.
    Missing,
}

/// What is recorded of the object at a place.
pub fn stored(place: &Place) -> io::Result<Option<Facts>> {
    match File::open(place.path()) {
        Ok(mut file) => record::read(&mut file).map(Some),
        Err(error) if is_absent(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Puts a body in its place with everything that is recorded of it.
pub fn put(
    folder: &Folder,
    staged: Staged,
    facts: &Facts,
    place: &Place,
    when: &WriteConditions,
) -> io::Result<Written> {
    let mut file = File::options().append(true).open(staged.path())?;
    file.write_all(&record::tail(facts)?)?;
    // The slow part, outside the lock. Size and content are durable before the name is.
    file.sync_data()?;
    drop(file);
    let _key = folder.lock_key(place);
    if let Some(refused) = refused(place, when)? {
        return Ok(refused);
    }
    let path = place.path();
    let parent = path.parent().expect("a place is below its bucket");
    loop {
        let tree = folder.tree.read().unwrap_or_else(PoisonError::into_inner);
        if parent.is_dir() {
            fs::rename(staged.path(), &path)?;
            staged.taken();
            sync_folder(parent)?;
            return Ok(Written::Done);
        }
        drop(tree);
        make_folders(folder, place)?;
    }
}

/// Takes an object away. It is no error when there is none.
pub fn delete(folder: &Folder, place: &Place, matching: Option<&ETagCondition>) -> io::Result<Written> {
    let when = WriteConditions { matching: matching.cloned(), none_matching: None };
    let _key = folder.lock_key(place);
    if let Some(refused) = refused(place, &when)? {
        return Ok(refused);
    }
    match fs::remove_file(place.path()) {
        Err(error) if !is_absent(&error) => Err(error),
        _ => Ok(Written::Done),
    }
}

/// Makes deletions durable and removes folders that they left empty.
pub fn settle(folder: &Folder, places: &[Place]) -> io::Result<()> {
    let parents: BTreeSet<PathBuf> =
        places.iter().filter_map(|place| place.path().parent().map(Path::to_owned)).collect();
    for parent in &parents {
        match sync_folder(parent) {
            Err(error) if !is_absent(&error) => return Err(error),
            _ => {}
        }
    }
    let _tree = folder.tree.write().unwrap_or_else(PoisonError::into_inner);
    for place in places {
        for below in names::folders_of(&place.below) {
            // Not empty, or gone already: the ones above are not empty then either, or will be
            // looked at for another place.
            if fs::remove_dir(place.bucket.join(below)).is_err() {
                break;
            }
        }
    }
    Ok(())
}

/// Why a write does not take place.
fn refused(place: &Place, when: &WriteConditions) -> io::Result<Option<Written>> {
    if when.matching.is_none() && when.none_matching.is_none() {
        return Ok(None);
    }
    let stored = stored(place)?;
    let etag = stored.as_ref().map(|facts| facts.etag.as_str());
    Ok(match conditions::may_write(when.matching.as_ref(), when.none_matching.as_ref(), etag) {
        true => None,
        false if stored.is_none() => Some(Written::Missing),
        false => Some(Written::Unmet),
    })
}

/// Makes the folders of a place, each durable before anything is put into it.
fn make_folders(folder: &Folder, place: &Place) -> io::Result<()> {
    let _tree = folder.tree.write().unwrap_or_else(PoisonError::into_inner);
    if !place.bucket.is_dir() {
        return Err(io::Error::new(io::ErrorKind::NotFound, "the bucket was deleted"));
    }
    let mut folders: Vec<&Path> = names::folders_of(&place.below).collect();
    folders.reverse();
    let mut above = place.bucket.clone();
    for below in folders {
        let path = place.bucket.join(below);
        match fs::create_dir(&path) {
            Ok(()) => sync_folder(&above)?,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
        above = path;
    }
    Ok(())
}

fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}
