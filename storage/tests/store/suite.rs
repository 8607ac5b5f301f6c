//! What every store must do.

use std::{collections::HashSet, time::Instant};

use bytes::Bytes;
use framemill_schemas::failure::Class;
use framemill_storage::{Meta, Put, S3Config, Secret, Store, StoreError};
use futures_util::{StreamExt, TryStreamExt, future::join_all, stream};
use uuid::Uuid;

/// Objects of the listing: two pages and a bit.
const LISTED: usize = 2100;

pub async fn run(config: &S3Config) {
    let store = Store::connect(config).await.unwrap();
    let folder = format!("suite-{}", Uuid::new_v4().simple());
    assert_eq!(store.list("framemill-trial/").await.unwrap(), [], "the trial leaves nothing behind");

    one_of_sixteen_new_puts_wins(&store, &folder).await;
    one_of_sixteen_matching_puts_wins(&store, &folder).await;
    what_is_put_comes_back(&store, &folder).await;
    ranges_are_cut(&store, &folder).await;
    what_is_missing_is_none(&store, &folder).await;
    hostile_keys_are_refused(&store).await;
    sources_are_read_from_other_buckets(&store, config, &folder).await;
    listings_have_all_pages(&store, &folder).await;
    wrong_settings_are_told(config).await;

    let left: Vec<String> = store.list(&format!("{folder}/")).await.unwrap().into_iter().map(|l| l.key).collect();
    store.delete(&left).await.unwrap();
    assert_eq!(store.list(&format!("{folder}/")).await.unwrap(), []);
}

async fn one_of_sixteen_new_puts_wins(store: &Store, folder: &str) {
    for round in 0..5 {
        let key = format!("{folder}/race/{round}.m4s");
        let puts = (0..16).map(|racer| {
            let (store, key) = (store.clone(), key.clone());
            async move {
                let meta = Meta { job_key: Some(format!("racer-{racer}")), ..Meta::default() };
                store.put_new(&key, Bytes::from(vec![racer; 10_000 + usize::from(racer)]), &meta).await.unwrap()
            }
        });
        let outcomes = join_all(puts).await;
        let winners: Vec<_> = outcomes.iter().filter(|put| matches!(put, Put::Created(_))).collect();
        let [Put::Created(won)] = winners.as_slice() else { panic!("round {round}: {} winners", winners.len()) };
        for outcome in &outcomes {
            assert_eq!(outcome.stored(), won, "everybody is told what is stored");
            if let Put::Exists { meta, .. } = outcome {
                assert_eq!(meta.job_key, store.head(&key).await.unwrap().unwrap().1.job_key);
            }
        }
    }
}

async fn one_of_sixteen_matching_puts_wins(store: &Store, folder: &str) {
    let key = format!("{folder}/race/master.m3u8");
    let Put::Created(mut current) = store.put_new(&key, Bytes::from("0"), &Meta::default()).await.unwrap() else {
        panic!("the name was free")
    };
    for round in 0..5_u64 {
        let puts = (0..16).map(|racer| {
            let (store, key, etag) = (store.clone(), key.clone(), current.etag.clone());
            async move {
                let meta = Meta { revision: Some(round * 100 + racer), ..Meta::default() };
                store.put_match(&key, Bytes::from(format!("{round} {racer}")), &meta, &etag).await.unwrap()
            }
        });
        let winners: Vec<_> = join_all(puts).await.into_iter().flatten().collect();
        let [won] = winners.as_slice() else { panic!("round {round}: {} winners", winners.len()) };
        let (stored, meta) = store.head(&key).await.unwrap().unwrap();
        assert_eq!(stored, *won);
        assert_eq!(meta.revision.unwrap() / 100, round);
        current = stored;
    }
    // The same bytes under an old tag are still a lost race.
    assert_eq!(store.put_match(&key, Bytes::from("x"), &Meta::default(), "0123456789abcdef").await.unwrap(), None);
}

async fn what_is_put_comes_back(store: &Store, folder: &str) {
    let meta = Meta {
        content_type: String::new(),
        cache_control: "public, max-age=31536000, immutable".to_owned(),
        digest: String::new(),
        tags: vec!["asset:1".to_owned(), "tenant:default".to_owned()],
        job_key: Some("0f".repeat(32)),
        index: Some(format!(r#"{{"n":7,"d":[{}]}}"#, "1,".repeat(400) + "1")),
        round: 3,
        revision: Some(u64::MAX),
    };
    for bytes in [0, 1, 70_000, 9_000_000] {
        let key = format!("{folder}/back/{bytes}.m4s");
        let body: Bytes = (0..bytes).map(|at: u32| (at % 251) as u8).collect();
        let Put::Created(created) = store.put_new(&key, body.clone(), &meta).await.unwrap() else { panic!("{key}") };
        assert_eq!(created.bytes, u64::from(bytes));
        let object = store.get(&key).await.unwrap().unwrap();
        assert_eq!(object.body, body);
        assert_eq!(object.stored, created);
        let expected =
            Meta { content_type: "video/iso.segment".to_owned(), digest: created.digest.clone(), ..meta.clone() };
        assert_eq!(object.meta, expected);
        assert_eq!(store.head(&key).await.unwrap().unwrap(), (created.clone(), expected.clone()));
        let again = store.put_new(&key, Bytes::from("other"), &Meta::default()).await.unwrap();
        assert_eq!(again, Put::Exists { stored: created, meta: expected });
    }
    let key = format!("{folder}/back/å b+%.json");
    store.put_new(&key, Bytes::from("{}"), &Meta::default()).await.unwrap();
    assert_eq!(store.get(&key).await.unwrap().unwrap().body, "{}");
}

async fn ranges_are_cut(store: &Store, folder: &str) {
    let key = format!("{folder}/range.mp4");
    let body: Bytes = (0..1_000_000_u32).map(|at| (at % 253) as u8).collect();
    store.put_new(&key, body.clone(), &Meta::default()).await.unwrap();
    for range in [None, Some(0..1), Some(10..20), Some(999_999..1_000_000), Some(500_000..9_999_999), Some(0..u64::MAX)]
    {
        let stream = store.get_stream(None, &key, range.clone()).await.unwrap().unwrap();
        let expected = match &range {
            None => body.clone(),
            Some(range) => body.slice(usize::try_from(range.start).unwrap()..range.end.min(1_000_000) as usize),
        };
        assert_eq!(stream.size, 1_000_000, "{range:?}");
        assert_eq!(stream.length, expected.len() as u64, "{range:?}");
        assert_eq!(stream.content_type, "video/mp4");
        let got: Vec<Bytes> = stream.stream.try_collect().await.unwrap();
        assert_eq!(got.concat(), expected, "{range:?}");
    }
    for start in [1_000_000, u64::MAX - 1] {
        let error = store.get_stream(None, &key, Some(start..start + 1)).await.unwrap_err();
        assert!(matches!(error, StoreError::Range { .. }), "{error}");
    }
}

async fn what_is_missing_is_none(store: &Store, folder: &str) {
    let key = format!("{folder}/nothing");
    assert_eq!(store.get(&key).await.unwrap(), None);
    assert_eq!(store.head(&key).await.unwrap(), None);
    assert!(store.get_stream(None, &key, None).await.unwrap().is_none());
    assert_eq!(store.put_match(&key, Bytes::from("x"), &Meta::default(), "0123").await.unwrap(), None);
    assert_eq!(store.list(&key).await.unwrap(), []);
    store.delete(&[key.clone(), format!("{key}/below")]).await.unwrap();
    store.delete(&[]).await.unwrap();
}

async fn hostile_keys_are_refused(store: &Store) {
    let long = "k".repeat(1025);
    for key in ["", "..", "../../etc/passwd", "/etc/passwd", "a/../../b", "a\0b", "a//b", "a/", long.as_str()] {
        let put = store.put_new(key, Bytes::from("x"), &Meta::default()).await;
        assert!(matches!(put, Err(StoreError::BadKey { .. })), "{key:?}: {put:?}");
        assert!(matches!(store.get(key).await, Err(StoreError::BadKey { .. })));
        assert!(matches!(store.delete(&[key.to_owned()]).await, Err(StoreError::BadKey { .. })));
        assert!(matches!(store.get_stream(Some("other"), key, None).await, Err(StoreError::Source { .. })));
    }
}

async fn sources_are_read_from_other_buckets(store: &Store, config: &S3Config, folder: &str) {
    let key = format!("{folder}/range.mp4");
    let (bytes, etag) = store.head_in(&config.bucket, &key).await.unwrap().unwrap();
    assert_eq!(bytes, 1_000_000);
    let stream = store.get_stream(Some(&config.bucket), &key, Some(5..7)).await.unwrap().unwrap();
    assert_eq!((stream.etag, stream.length), (etag, 2));
    assert_eq!(store.head_in(&config.bucket, "nothing").await.unwrap(), None);
    let missing = format!("no-{}", Uuid::new_v4().simple());
    match store.get_stream(Some(&missing), &key, None).await {
        Err(error) => assert_eq!(error.to_failure().class, Class::Input, "{error}"),
        Ok(found) => panic!("{found:?}"),
    }
}

#[allow(clippy::print_stderr)]
async fn listings_have_all_pages(store: &Store, folder: &str) {
    let puts = stream::iter(0..LISTED).map(|number| {
        let key = format!("{folder}/list/720p/{number}.m4s");
        async move { store.put_new(&key, Bytes::from(number.to_string()), &Meta::default()).await.unwrap() }
    });
    let started = Instant::now();
    let put: Vec<Put> = puts.buffer_unordered(16).collect().await;
    let put_s = started.elapsed().as_secs_f64();
    let beside = format!("{folder}/list/720pp");
    store.put_new(&beside, Bytes::from("x"), &Meta::default()).await.unwrap();

    let started = Instant::now();
    let listed = store.list(&format!("{folder}/list/720p/")).await.unwrap();
    // Shown with --nocapture; no bound, because machines differ.
    eprintln!("{LISTED} objects put in {put_s:.2} s, listed in {:.3} s", started.elapsed().as_secs_f64());
    assert!(listed.is_sorted_by(|a, b| a.key < b.key));
    let listed: HashSet<_> = listed.into_iter().map(|l| (l.key, l.bytes, l.etag)).collect();
    let expected: HashSet<_> =
        put.iter().map(|put| (put.stored().key.clone(), put.stored().bytes, put.stored().etag.clone())).collect();
    assert!(listed == expected, "{} of {} listed", listed.len(), expected.len());
    assert_eq!(store.list(&format!("{folder}/list/")).await.unwrap().len(), LISTED + 1);

    let keys: Vec<String> = expected.into_iter().map(|(key, ..)| key).collect();
    store.delete(&keys).await.unwrap();
    let left: Vec<_> = store.list(&format!("{folder}/list/")).await.unwrap().into_iter().map(|l| l.key).collect();
    assert_eq!(left, [beside]);
}

async fn wrong_settings_are_told(config: &S3Config) {
    let wrong_secret = S3Config { secret_key: Some(Secret::new("wrong-secret")), ..config.clone() };
    let wrong_access = S3Config { access_key: Some(Secret::new("NOBODYKNOWSME")), ..config.clone() };
    for wrong in [wrong_secret, wrong_access] {
        let error = Store::connect(&wrong).await.unwrap_err();
        assert!(matches!(error, StoreError::WrongKeys { .. }), "{error:?}");
        assert_eq!(error.to_failure().class, Class::Resource);
        assert!(!error.to_string().contains("wrong-secret"));
    }
    let missing = format!("missing-{}", Uuid::new_v4().simple());
    let config = S3Config { bucket: missing.clone(), create_bucket: false, ..config.clone() };
    let error = Store::connect(&config).await.unwrap_err();
    assert!(matches!(&error, StoreError::NoBucket { bucket, .. } if *bucket == missing), "{error:?}");
}
