//! `/openapi.json`, and `/docs`: the same document for people, with nothing loaded from elsewhere.

use std::sync::Arc;

use axum::{
    Router,
    http::{HeaderValue, header},
    response::{IntoResponse, Response},
    routing::get,
};
use maud::{Markup, PreEscaped, html};
use serde_json::Value;
use utoipa::openapi::OpenApi;

use super::ApiState;
use crate::page;

/// Serves the document, written once.
pub fn router(document: &OpenApi) -> Router<ApiState> {
    let value = serde_json::to_value(document).expect("the document is plain data");
    let page: Arc<str> = page::frame("API", "docs", render(&value)).into_string().into();
    let json: Arc<str> = serde_json::to_string_pretty(&value).expect("the document is plain data").into();
    Router::new()
        .route("/openapi.json", get(move || answer("application/json", json.clone())))
        .route("/docs", get(move || answer("text/html; charset=utf-8", page.clone())))
}

async fn answer(content_type: &'static str, body: Arc<str>) -> Response {
    let mut response = body.to_string().into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// Methods in the order people think of them.
const METHODS: [&str; 5] = ["get", "post", "put", "patch", "delete"];

fn render(document: &Value) -> Markup {
    let paths = document["paths"].as_object();
    html! {
        h1 { "HTTP API " small { (text(&document["info"]["version"])) } }
        p { (text(&document["info"]["description"])) " The machine-readable form is " a href="/openapi.json" { "/openapi.json" } "." }
        @for tag in document["tags"].as_array().into_iter().flatten() {
            section aria-labelledby=(text(&tag["name"])) {
                h2 id=(text(&tag["name"])) { (text(&tag["name"])) }
                p { (text(&tag["description"])) }
                @for (path, item) in paths.into_iter().flatten() {
                    @for method in METHODS {
                        @if let Some(operation) = item.get(method).filter(|operation| operation["tags"][0] == tag["name"]) {
                            (render_operation(method, path, operation))
                        }
                    }
                }
            }
        }
        section aria-labelledby="documents" {
            h2 id="documents" { "Documents" }
            @for (name, schema) in document["components"]["schemas"].as_object().into_iter().flatten() {
                details id=(name) {
                    summary { (name) }
                    p { (text(&schema["description"])) }
                    pre { (serde_json::to_string_pretty(schema).unwrap_or_default()) }
                }
            }
        }
    }
}

fn render_operation(method: &str, path: &str, operation: &Value) -> Markup {
    html! {
        details.operation {
            summary { code.method { (method.to_uppercase()) } " " code { (path) } " " span { (text(&operation["summary"])) } }
            p { (text(&operation["description"])) }
            @if let Some(parameters) = operation["parameters"].as_array() {
                h3 { "Parameters" }
                dl {
                    @for parameter in parameters {
                        dt { code { (text(&parameter["name"])) } " in " (text(&parameter["in"])) }
                        dd { (text(&parameter["description"])) }
                    }
                }
            }
            @if let Some(content) = operation["requestBody"]["content"].as_object() {
                h3 { "Body" }
                ul { @for (media_type, body) in content { li { code { (media_type) } " " (schema_link(&body["schema"])) } } }
            }
            h3 { "Answers" }
            dl {
                @for (status, response) in operation["responses"].as_object().into_iter().flatten() {
                    dt { code { (status) } }
                    dd {
                        (text(&response["description"]))
                        @for body in response["content"].as_object().into_iter().flat_map(|content| content.values()) {
                            " " (schema_link(&body["schema"]))
                        }
                    }
                }
            }
        }
    }
}

/// A link to the document a schema refers to.
fn schema_link(schema: &Value) -> Markup {
    match schema["$ref"].as_str().and_then(|reference| reference.rsplit('/').next()) {
        Some(name) => html! { a href={ "#" (name) } { (name) } },
        None => PreEscaped(String::new()),
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
