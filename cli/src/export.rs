//! Copies what was published out of the store, laid out as it is there, so that it plays from the
//! folder. Every file is written under another name first: one that is there is whole.

use std::{
    path::{Component, Path, PathBuf},
    time::{Duration, Instant},
};

use framemill_schemas::{
    api::AssetView,
    object::{MASTER_PLAYLIST, MPD, asset_folder, generation_folder},
};
use framemill_storage::{Store, StoreError};
use futures_util::{StreamExt, TryStreamExt, stream};
use tokio::{fs, io::AsyncWriteExt};

use crate::exit::CliError;

/// Files written at once.
const PARALLEL: usize = 8;
/// Longest wait for the entry manifests: they follow the decision to publish.
const ENTRIES: Duration = Duration::from_secs(30);
const LOOK: Duration = Duration::from_millis(20);

/// Makes the folder before anything is encoded for it.
pub async fn prepare(out: &Path) -> Result<(), CliError> {
    fs::create_dir_all(out).await.map_err(|error| {
        CliError::usage(format!("cannot make the output folder: {error}"))
            .at(out.display().to_string())
            .mend("name a folder that this user can write, with --out")
    })
}

/// Copies a published title into `out`.
pub async fn export(store: &Store, asset: &AssetView, out: &Path) -> Result<(), CliError> {
    let home = asset_folder(&asset.tenant, asset.id);
    let generation = generation_folder(&asset.tenant, asset.id, &asset.generation);
    await_entries(store, &home).await?;
    let listed = store.list(&format!("{generation}/")).await.map_err(|error| of_store(&error))?;
    let objects: Vec<_> = listed
        .into_iter()
        .map(|object| {
            let file = below(out, &home, &object.key)?;
            Ok::<_, CliError>((object.key, file))
        })
        .collect::<Result<_, _>>()?;
    stream::iter(objects.into_iter().map(Ok))
        .try_for_each_concurrent(PARALLEL, |(key, file)| async move { copy(store, &key, &file).await })
        .await?;
    // Last: whoever plays the folder finds everything these name.
    for name in [MPD, MASTER_PLAYLIST] {
        copy(store, &format!("{home}/{name}"), &out.join(name)).await?;
    }
    Ok(())
}

async fn await_entries(store: &Store, home: &str) -> Result<(), CliError> {
    let start = Instant::now();
    for name in [MPD, MASTER_PLAYLIST] {
        let key = format!("{home}/{name}");
        while store.head(&key).await.map_err(|error| of_store(&error))?.is_none() {
            if start.elapsed() > ENTRIES {
                return Err(CliError::failed("an entry manifest did not appear after publishing")
                    .at(key)
                    .mend("check the scheduler's log"));
            }
            tokio::time::sleep(LOOK).await;
        }
    }
    Ok(())
}

/// The file of an object. Names are ours, but nothing outside `out` is written whatever they are.
fn below(out: &Path, home: &str, key: &str) -> Result<PathBuf, CliError> {
    let rest = key.strip_prefix(home).and_then(|rest| rest.strip_prefix('/')).unwrap_or_default();
    let path = Path::new(rest);
    let plain = !rest.is_empty() && path.components().all(|part| matches!(part, Component::Normal(_)));
    if plain { Ok(out.join(path)) } else { Err(CliError::failed("an object has a name that is no file").at(key)) }
}

async fn copy(store: &Store, key: &str, file: &Path) -> Result<(), CliError> {
    let Some(mut object) = store.get_stream(None, key, None).await.map_err(|error| of_store(&error))? else {
        return Err(CliError::failed("a published object is gone").at(key).mend("check the asset, then retry it"));
    };
    let on_disk = |error: std::io::Error| {
        CliError::failed(format!("cannot write: {error}"))
            .at(file.display().to_string())
            .mend("make room, or name another folder with --out")
    };
    if let Some(folder) = file.parent() {
        fs::create_dir_all(folder).await.map_err(on_disk)?;
    }
    let mut name = file.file_name().unwrap_or_default().to_owned();
    name.push(".part");
    let part = file.with_file_name(name);
    let mut target = fs::File::create(&part).await.map_err(on_disk)?;
    while let Some(piece) = object.stream.next().await {
        target.write_all(&piece.map_err(|error| of_store(&error))?).await.map_err(on_disk)?;
    }
    target.flush().await.map_err(on_disk)?;
    fs::rename(&part, file).await.map_err(on_disk)
}

fn of_store(error: &StoreError) -> CliError {
    CliError::failed(error.to_string()).at("the store")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_leaves_the_folder() {
        let out = Path::new("/out");
        let file = below(out, "vod/t/a", "vod/t/a/g1-x/720p/1.m4s").unwrap();
        assert_eq!(file, Path::new("/out/g1-x/720p/1.m4s"));
        for bad in ["vod/t/a", "vod/t/a/", "vod/t/a/../x", "vod/t/a//etc/passwd", "vod/t/b/x", "vod/t/ab"] {
            assert!(below(out, "vod/t/a", bad).is_err(), "{bad}");
        }
    }
}
