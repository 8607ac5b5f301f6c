//! Published objects, whole and in parts, and only those.

use bytes::Bytes;
use framemill_schemas::{
    asset::{AssetState, Published},
    object::{CACHE_IMMUTABLE, StoredObject, generation_folder},
};
use framemill_storage::{Meta, Put};
use reqwest::Method;

use crate::{farm::Farm, http::problem};

#[tokio::test]
async fn published_objects_are_streamed() {
    let farm = Farm::local().await;
    let asset = farm.submit(r#"{"source":"https://example.net/film.mp4"}"#).await;
    let (record, _) = farm.asset(asset.id).await;
    let generation = generation_folder(&record.tenant, record.id, &record.generation);
    let put = async |key: String, body: &'static [u8], cache: &str| -> StoredObject {
        let meta = Meta { cache_control: cache.to_owned(), ..Meta::default() };
        match farm.store.put_new(&key, Bytes::from_static(body), &meta).await.unwrap() {
            Put::Created(stored) => stored,
            Put::Exists { .. } => panic!("a new folder"),
        }
    };
    let entry = put(format!("{generation}.m3u8"), b"#EXTM3U\n", CACHE_IMMUTABLE).await;
    let segment = put(format!("{generation}/720p/1.m4s"), b"0123456789", CACHE_IMMUTABLE).await;
    let base = format!("/preview/default/{}", asset.id);
    let name = generation.rsplit('/').next().unwrap();
    let path = format!("{base}/{name}/720p/1.m4s");
    problem(farm.get(&path).await, 404, "not-found").await;

    farm.change(asset.id, |asset| {
        asset.state = AssetState::Published;
        let generation = asset.generation.clone();
        asset.published = Some(Published { generation, master: entry.clone(), mpd: segment.clone(), index: None });
    })
    .await;

    let master = farm.get(&format!("{base}/master.m3u8")).await;
    assert_eq!(
        (master.status().as_u16(), &master.headers()["content-type"]),
        (200, &"application/vnd.apple.mpegurl".parse().unwrap())
    );
    assert_eq!(master.headers()["cache-control"], "private, max-age=5");
    assert_eq!(master.text().await.unwrap(), "#EXTM3U\n");

    let whole = farm.get(&path).await;
    assert_eq!((whole.status().as_u16(), whole.headers()["accept-ranges"].to_str().unwrap()), (200, "bytes"));
    assert_eq!(whole.headers()["content-length"], "10");
    let etag = whole.headers()["etag"].clone();
    assert_eq!(whole.bytes().await.unwrap(), "0123456789");
    let with = |name: &'static str, value: &str| farm.request(Method::GET, &path).header(name, value).send();
    for (range, bytes, shown) in
        [("bytes=2-4", "234", "bytes 2-4/10"), ("bytes=-3", "789", "bytes 7-9/10"), ("bytes=8-", "89", "bytes 8-9/10")]
    {
        let part = with("range", range).await.unwrap();
        assert_eq!((part.status().as_u16(), part.headers()["content-range"].to_str().unwrap()), (206, shown));
        assert_eq!(part.text().await.unwrap(), bytes);
    }
    let outside = with("range", "bytes=10-").await.unwrap();
    assert_eq!(outside.headers()["content-range"], "bytes */10");
    problem(outside, 416, "range").await;
    let same = with("if-none-match", etag.to_str().unwrap()).await.unwrap();
    assert_eq!((same.status().as_u16(), same.text().await.unwrap().as_str()), (304, ""));
    let head = farm.request(Method::HEAD, &path).send().await.unwrap();
    assert_eq!((head.status().as_u16(), head.headers()["content-length"].to_str().unwrap()), (200, "10"));

    for bad in [
        format!("{base}/{name}/720p/2.m4s"),
        format!("{base}/{name}/..%2f..%2fmaster.m3u8"),
        format!("{base}/{name}/%2e%2e/%2e%2e/x"),
        format!("{base}/g9-00000000/720p/1.m4s"),
        format!("/preview/other/{}/master.m3u8", asset.id),
        "/preview/default/x/master.m3u8".to_owned(),
    ] {
        problem(farm.get(&bad).await, 404, "not-found").await;
    }
    // The page offers what is published.
    let page = farm.get(&format!("/assets/{}", asset.id)).await.text().await.unwrap();
    assert!(page.contains(&format!("data-hls=\"{base}/master.m3u8\"")), "{page}");
}
