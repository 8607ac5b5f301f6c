//! The OpenAPI document: whole, and true.

use serde_json::Value;

use crate::farm::Farm;

/// What the contract promises.
const OPERATIONS: [(&str, &str); 64] = [
    ("post", "/v1/assets"),
    ("get", "/v1/assets"),
    ("get", "/v1/assets/{id}"),
    ("delete", "/v1/assets/{id}"),
    ("post", "/v1/assets/{id}/cancel"),
    ("post", "/v1/assets/{id}/retry"),
    ("get", "/v1/assets/{id}/report"),
    ("get", "/v1/assets/{id}/events"),
    ("get", "/v1/channels"),
    ("put", "/v1/channels/{id}"),
    ("get", "/v1/channels/{id}"),
    ("delete", "/v1/channels/{id}"),
    ("post", "/v1/channels/{id}/start"),
    ("post", "/v1/channels/{id}/stop"),
    ("get", "/v1/channels/{id}/diagnose"),
    ("post", "/v1/channels/{id}/archive"),
    ("get", "/v1/jobs"),
    ("get", "/v1/jobs/{id}"),
    ("post", "/v1/jobs/{id}/retry"),
    ("get", "/v1/dead"),
    ("post", "/v1/assets/{id}/check"),
    ("post", "/v1/dead/{job}/redrive"),
    ("delete", "/v1/dead/{job}"),
    ("post", "/v1/dead/redrive"),
    ("post", "/v1/dead/drop"),
    ("post", "/v1/gc"),
    ("get", "/v1/nodes"),
    ("get", "/v1/nodes/{id}"),
    ("post", "/v1/nodes/{id}/drain"),
    ("post", "/v1/nodes/{id}/resume"),
    ("post", "/v1/nodes/{id}/quarantine"),
    ("get", "/v1/scaling"),
    ("get", "/v1/events"),
    ("get", "/v1/ladders"),
    ("get", "/v1/ladders/{name}"),
    ("post", "/v1/ladders/check"),
    ("get", "/v1/purges"),
    ("post", "/v1/purges"),
    ("get", "/v1/purges/{id}"),
    ("get", "/v1/purges/{id}/report"),
    ("post", "/v1/purges/{id}/retry"),
    ("get", "/v1/edges"),
    ("delete", "/v1/edges/{id}"),
    ("get", "/v1/keys"),
    ("post", "/v1/keys"),
    ("delete", "/v1/keys/{id}"),
    ("get", "/v1/token-keys"),
    ("post", "/v1/token-keys"),
    ("post", "/v1/token-keys/{kid}/retire"),
    ("post", "/v1/tokens"),
    ("post", "/v1/tokens/renew"),
    ("post", "/v1/tokens/revoke"),
    ("get", "/v1/revocations"),
    ("get", "/v1/tenants"),
    ("get", "/v1/tenants/{id}"),
    ("put", "/v1/tenants/{id}"),
    ("delete", "/v1/tenants/{id}"),
    ("get", "/v1/tenants/{id}/accounts"),
    ("get", "/v1/tenants/{id}/accounts/{account}"),
    ("put", "/v1/tenants/{id}/accounts/{account}"),
    ("delete", "/v1/tenants/{id}/accounts/{account}"),
    ("get", "/v1/audit"),
    ("get", "/preview/{tenant}/{asset}/{path}"),
    ("get", "/live/{tenant}/{channel}/{path}"),
];

fn references<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
    match value {
        Value::Object(map) => {
            if let Some(reference) = map.get("$ref").and_then(Value::as_str) {
                found.push(reference);
            }
            map.values().for_each(|value| references(value, found));
        }
        Value::Array(list) => list.iter().for_each(|value| references(value, found)),
        _ => {}
    }
}

#[tokio::test]
async fn the_document_lists_every_operation_and_explains_itself() {
    let farm = Farm::local().await;
    let response = farm.get("/openapi.json").await;
    assert_eq!(response.headers()["content-type"], "application/json");
    let document: Value = response.json().await.unwrap();
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1."));
    assert!(!document["info"]["title"].as_str().unwrap().is_empty());

    let paths = document["paths"].as_object().unwrap();
    for (method, path) in OPERATIONS {
        assert!(paths.get(path).is_some_and(|item| item.get(method).is_some()), "{method} {path}");
    }
    let mut ids = std::collections::BTreeSet::new();
    for (path, item) in paths {
        for (method, operation) in item.as_object().unwrap() {
            assert!(OPERATIONS.contains(&(method, path)), "{method} {path} is not in this list");
            assert!(ids.insert(operation["operationId"].as_str().unwrap()), "{method} {path}: its id is taken");
            assert!(!operation["summary"].as_str().unwrap().is_empty(), "{method} {path}");
            assert!(!operation["responses"].as_object().unwrap().is_empty(), "{method} {path}");
            // Each placeholder is a parameter.
            for name in path.split('{').skip(1).map(|part| part.split('}').next().unwrap()) {
                let parameters = operation["parameters"].as_array().unwrap();
                assert!(
                    parameters.iter().any(|parameter| parameter["name"] == name && parameter["in"] == "path"),
                    "{path}: {name}"
                );
            }
        }
    }
    let mut found = Vec::new();
    references(&document, &mut found);
    assert!(!found.is_empty());
    for reference in found {
        let pointer = reference.strip_prefix('#').unwrap();
        assert!(document.pointer(pointer).is_some(), "{reference} leads nowhere");
    }

    let page = farm.get("/docs").await.text().await.unwrap();
    for (_, path) in OPERATIONS {
        assert!(page.contains(path), "{path}");
    }
}
