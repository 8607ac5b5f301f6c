use framemill_schemas::delivery::{AccountDocument, Region};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

/// A tenant of a JSON document.
fn level(tenant: &str, document: Value) -> Level {
    Level { tenant: tenant.parse().unwrap(), document: serde_json::from_value(document).unwrap() }
}

fn paths(all: &[&str]) -> Paths {
    all.iter().map(|path| (*path).to_owned()).collect::<Vec<_>>().try_into().unwrap()
}

fn moment(now_ms: i64, region: &str) -> Moment {
    let place = region.parse::<Region>().map_or(Place::Unknown, Place::In);
    Moment { now_ms, place }
}

/// A sub-reseller, its reseller, the operator.
fn tree() -> Vec<Level> {
    vec![
        level(
            "sub",
            json!({ "parent": "reseller", "packages": [
                { "name": "sport", "paths": ["/live/op/sport/"] },
                { "name": "news", "paths": ["/live/op/news/"] },
                { "name": "films", "paths": ["/vod/op/"], "end_ms": 900 },
                { "name": "mine", "paths": ["/live/sub/"] },
                { "name": "stolen", "paths": ["/live/op/secret/"] }
            ] }),
        ),
        level(
            "reseller",
            json!({ "parent": "op", "packages": [
                { "name": "sport", "paths": ["/live/op/sport/"], "regions": ["NO", "SE"], "end_ms": 500 },
                { "name": "all", "paths": ["/live/op/news/", "/vod/op/"], "start_ms": 100 }
            ] }),
        ),
        level("op", json!({})),
    ]
}

#[test]
fn an_account_has_what_every_level_has() {
    let tree = tree();
    for (asked, now_ms, region, expected) in [
        (&["/live/op/sport/"][..], 200, "NO", Ok(Some(500))),
        (&["/live/op/sport/master.m3u8"], 200, "SE", Ok(Some(500))),
        (&["/live/op/sport/"], 200, "DE", Err("region")),
        (&["/live/op/sport/"], 200, "", Err("region-missing")),
        (&["/live/op/sport/"], 500, "NO", Err("late")),
        (&["/live/op/news/"], 200, "", Ok(None)),
        (&["/live/op/news/"], 99, "", Err("early")),
        (&["/live/op/news/", "/live/op/sport/"], 200, "NO", Ok(Some(500))),
        (&["/live/op/news/", "/live/op/sport/"], 200, "DE", Err("region")),
        (&["/vod/op/film/master.m3u8"], 200, "", Ok(Some(900))),
        (&["/live/sub/x/"], 200, "", Ok(None)),
        (&["/live/op/secret/"], 200, "NO", Err("ancestor")),
        (&["/live/op/other/"], 200, "NO", Err("package")),
        (&["/live/op/"], 200, "NO", Err("package")),
        (&["/live/reseller/x/"], 200, "NO", Err("package")),
        (&["/vod/sub/x/"], 200, "NO", Err("package")),
    ] {
        let found = entitled(&tree, None, &paths(asked), moment(now_ms, region));
        let found = found.map(|granted| granted.until_ms).map_err(|denied| denied.word());
        assert_eq!(found, expected, "{asked:?} at {now_ms} in {region:?}");
    }
}

#[test]
fn a_tenant_without_a_record_has_all_of_its_own() {
    let alone = [level("acme", json!({}))];
    for (path, granted) in [
        ("/live/acme/", true),
        ("/vod/acme/x/", true),
        ("/live/other/", false),
        ("/live/", false),
        ("/live/acme2/", false),
    ] {
        assert_eq!(entitled(&alone, None, &paths(&[path]), moment(1, "")).is_ok(), granted, "{path}");
    }
}

#[test]
fn the_standing_of_account_and_tenants_comes_first() {
    let account = |document: Value| Some(serde_json::from_value::<AccountDocument>(document).unwrap());
    let known = [level("acme", json!({ "accounts": "known" }))];
    let suspended = [level("acme", json!({ "parent": "op" })), level("op", json!({ "state": "suspended" }))];
    let packages = [level(
        "acme",
        json!({ "packages": [
        { "name": "a", "paths": ["/live/acme/a/"] }, { "name": "b", "paths": ["/live/acme/"] } ] }),
    )];
    let open = [level("acme", json!({}))];
    for (levels, account, expected) in [
        (&known[..], None, Err("account-unknown")),
        (&known, account(json!({})), Ok(None)),
        (&open, account(json!({ "state": "suspended" })), Err("account-suspended")),
        (&open, account(json!({ "end_ms": 7 })), Err("account-ended")),
        (&open, account(json!({ "end_ms": 8 })), Ok(Some(8))),
        (&suspended, None, Err("tenant-suspended")),
        (&packages, account(json!({ "packages": ["a"] })), Err("package")),
        (&packages, account(json!({ "packages": ["b"] })), Ok(None)),
        (&packages, account(json!({ "packages": ["c"] })), Err("package")),
        (&packages, account(json!({ "packages": [] })), Err("package")),
        (&packages, account(json!({})), Ok(None)),
    ] {
        let found = entitled(levels, account.as_ref(), &paths(&["/live/acme/b/"]), moment(7, ""));
        let found = found.map(|granted| granted.until_ms).map_err(|denied| denied.word());
        assert_eq!(found, expected, "{levels:?} {account:?}");
    }
}

#[test]
fn packages_hold_what_the_parent_has() {
    let tree = tree();
    let (above, tenant) = (&tree[1..], &tree[0].tenant);
    for (package, founded) in [
        (json!({ "paths": ["/live/sub/x/"] }), true),
        (json!({ "paths": ["/live/op/sport/"] }), false),
        (json!({ "paths": ["/live/op/sport/"], "regions": ["NO"], "end_ms": 500 }), true),
        (json!({ "paths": ["/live/op/sport/"], "regions": ["NO", "DE"], "end_ms": 500 }), false),
        (json!({ "paths": ["/live/op/sport/"], "regions": ["NO"], "end_ms": 501 }), false),
        (json!({ "paths": ["/live/op/news/"] }), false),
        (json!({ "paths": ["/live/op/news/"], "start_ms": 100 }), true),
        (json!({ "paths": ["/live/op/"] }), false),
        (json!({ "paths": ["/live/other/"] }), false),
    ] {
        let mut package = package;
        package["name"] = json!("p");
        let document = serde_json::from_value(json!({ "packages": [package] })).unwrap();
        let faults = unfounded(tenant, &document, above, |_| true);
        assert_eq!(faults.is_empty(), founded, "{package} {faults:?}");
    }
    // At the top of the tree, whoever writes the record must see whose it is.
    let document = serde_json::from_value(json!({ "packages": [{ "name": "p", "paths": ["/live/x/"] }] })).unwrap();
    assert_eq!(unfounded(tenant, &document, &[], |path| path.starts_with("/live/x/")), []);
    assert_eq!(unfounded(tenant, &document, &[], |_| false)[0].pointer, "/packages/0/paths/0");
}

/// A package of a few paths, regions and times.
fn package() -> impl Strategy<Value = Package> {
    let path =
        prop::sample::select(vec!["/live/", "/live/op/", "/live/op/a/", "/live/op/b/", "/live/mid/a/", "/vod/op/"]);
    let region = prop::sample::select(vec!["NO", "SE"]);
    let time = || prop::option::of(0_i64..6);
    (prop::collection::vec(path, 1..3), prop::collection::vec(region, 0..2), time(), time()).prop_map(
        |(all, regions, start_ms, end_ms)| Package {
            name: "p".to_owned(),
            paths: paths(&all),
            regions: regions.into_iter().map(|region| region.parse().unwrap()).collect(),
            start_ms,
            end_ms,
        },
    )
}

proptest! {
    /// Nothing is granted that an ancestor lacks: every level up to whoever makes it has a package that holds the path
    /// at that moment and place; and the grant ends no later than that.
    #[test]
    fn nothing_is_granted_that_an_ancestor_lacks(
        packages in prop::collection::vec(prop::option::of(prop::collection::vec(package(), 0..4)), 3),
        asked in prop::sample::select(vec!["/live/op/", "/live/op/a/", "/live/op/b/x", "/live/mid/a/", "/vod/op/", "/live/low/"]),
        now_ms in 0_i64..6,
        region in prop::sample::select(vec!["NO", "SE", ""]),
    ) {
        let names = ["low", "mid", "op"];
        let tree: Vec<Level> = names.iter().zip(packages).map(|(name, packages)| Level {
            tenant: name.parse().unwrap(),
            document: TenantDocument { packages, ..TenantDocument::default() },
        }).collect();
        let moment = moment(now_ms, region);
        if let Ok(granted) = entitled(&tree, None, &paths(&[asked]), moment) {
            for (index, level) in tree.iter().enumerate() {
                let makes_it = own(&level.tenant).hold(asked);
                if makes_it && (index > 0 || level.document.packages.is_none()) {
                    break;
                }
                let open: Vec<_> = level.document.packages.iter().flatten().filter(|package| {
                    package.paths.hold(asked)
                        && package.start_ms.is_none_or(|start_ms| start_ms <= now_ms)
                        && package.end_ms.is_none_or(|end_ms| end_ms > now_ms)
                        && (package.regions.is_empty()
                            || region.parse().is_ok_and(|region| package.regions.contains(&region)))
                }).collect();
                prop_assert!(!open.is_empty(), "{} lacks {asked}", level.tenant);
                if open.iter().all(|package| package.end_ms.is_some()) {
                    let last = open.iter().filter_map(|package| package.end_ms).max().unwrap();
                    prop_assert!(granted.until_ms.is_some_and(|until_ms| until_ms <= last));
                }
                if makes_it {
                    break;
                }
            }
            prop_assert!(granted.until_ms.is_none_or(|until_ms| until_ms > now_ms));
        }
    }
}
