//! What is proven of a store before anything depends on it.

use bytes::Bytes;
use futures_util::future::join_all;
use uuid::Uuid;

use crate::{
    error::StoreError,
    fault,
    meta::Meta,
    put::{Condition, Writing},
    store::Store,
};

/// Writers that race for one name.
const RACERS: usize = 8;
/// Folder of the names that are raced for; each is deleted again.
pub(crate) const TRIAL_FOLDER: &str = "framemill-trial";

/// Checks keys, bucket and conditional puts.
pub(crate) async fn check(store: &Store, create_bucket: bool) -> Result<(), StoreError> {
    match reach(store).await {
        Err(StoreError::NoBucket { .. }) if create_bucket => {
            create(store).await?;
            reach(store).await?;
        }
        other => other?,
    }
    let key = format!("{TRIAL_FOLDER}/{}", Uuid::new_v4().simple());
    let raced = match race(store, &key).await {
        Ok(()) => take_classes(store, &key).await,
        refused => refused,
    };
    // Left behind it would be harmless, and what the race showed matters more.
    if let Err(error) = store.delete(std::slice::from_ref(&key)).await {
        tracing::warn!(key, %error, "trial object not deleted");
        raced?;
        return Err(error);
    }
    raced
}

/// A listing, because unlike a HEAD its refusal has a body that says why.
pub(crate) async fn reach(store: &Store) -> Result<(), StoreError> {
    let bucket = &store.shared.bucket;
    match store.client.list_objects_v2().bucket(bucket).prefix(TRIAL_FOLDER).max_keys(1).send().await {
        Ok(_) => Ok(()),
        Err(error) => Err(match fault::explain(store.call("ListObjectsV2", TRIAL_FOLDER), &error) {
            // A web server says "not found" too, but not in S3's words.
            StoreError::Refused { endpoint, status, code, .. } if code == "no code" && status < 500 => {
                StoreError::NotAStore { endpoint, cause: format!("it answered {status}") }
            }
            other => other,
        }),
    }
}

async fn create(store: &Store) -> Result<(), StoreError> {
    match store.client.create_bucket().bucket(&store.shared.bucket).send().await {
        Ok(_) => Ok(()),
        // Another process was first.
        Err(error)
            if matches!(
                fault::code(&error).as_deref(),
                Some("BucketAlreadyOwnedByYou" | "BucketAlreadyExists" | "OperationAborted")
            ) =>
        {
            Ok(())
        }
        Err(error) => Err(fault::explain(store.call("CreateBucket", ""), &error)),
    }
}

/// Races puts for a free name, then for one entity tag: each time exactly one must win.
async fn race(store: &Store, key: &str) -> Result<(), StoreError> {
    let tags = run(store, key, "absent", Condition::Absent).await?;
    let [first] = tags.as_slice() else {
        return Err(lacking(store, format!("of {RACERS} puts with If-None-Match {} were told they won", tags.len())));
    };
    let tags = run(store, key, "tag", Condition::Tag(first)).await?;
    let [second] = tags.as_slice() else {
        return Err(lacking(store, format!("of {RACERS} puts with If-Match {} were told they won", tags.len())));
    };
    match store.head(key).await? {
        Some((stored, meta)) if stored.etag == *second && meta.digest == stored.digest && !meta.digest.is_empty() => {
            Ok(())
        }
        _ => Err(lacking(store, "the winner's object is not what is stored".to_owned())),
    }
}

/// Entity tags of the winners.
async fn run(store: &Store, key: &str, name: &str, condition: Condition<'_>) -> Result<Vec<String>, StoreError> {
    let puts = (0..RACERS).map(|racer| async move {
        let body = Bytes::from(format!("trial {name} {racer}"));
        let writing = Writing::new(key, &body, &Meta::default())?;
        let won = store.put_if(&writing, body, condition).await?;
        match won {
            Some(tag) => Ok(Some(tag)),
            // An attempt whose answer was lost and that then met itself has won.
            None => Ok(store.head_full(key).await?.filter(|head| writing.is_own(head)).map(|head| head.stored.etag)),
        }
    });
    let mut tags = Vec::new();
    for outcome in join_all(puts).await {
        match outcome {
            Ok(tag) => tags.extend(tag),
            Err(StoreError::Refused { status: status @ (400 | 501), code, .. }) => {
                return Err(lacking(store, format!("it answered {status} {code}")));
            }
            Err(error) => return Err(error),
        }
    }
    Ok(tags)
}

/// Puts an object of each class that is set: one that the store does not have is found out now, and not in the
/// middle of a job.
async fn take_classes(store: &Store, key: &str) -> Result<(), StoreError> {
    for (setting, class) in store.shared.classes.set() {
        store.delete(&[key.to_owned()]).await?;
        let body = Bytes::from(format!("trial of {class}"));
        let writing = Writing::new(key, &body, &Meta::default())?.of_class(class);
        match store.put_if(&writing, body, Condition::Absent).await {
            Ok(_) => {}
            Err(StoreError::Refused { status, code, .. }) if matches!(status, 400 | 403 | 501) => {
                let why =
                    format!("is {class}, which the store refuses ({status} {code}); leave it out, or take another");
                return Err(StoreError::Config { setting, why });
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn lacking(store: &Store, evidence: String) -> StoreError {
    StoreError::NoConditionalPut { endpoint: store.shared.endpoint.clone(), evidence }
}
