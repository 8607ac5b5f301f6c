//! `framemill token`: letting viewers in, and no more.

use std::{io::Read, path::Path};

use framemill_schemas::{
    delivery::{
        Algorithm, AuditView, RenewRequest, RevocationView, RevokeRequest, TokenIssued, TokenKeyRequest, TokenKeyView,
        TokenRequest,
    },
    ids::{AssetId, ChannelId, Tenant},
};
use framemill_tokens::{TOKEN_CHARS_MAX, inspect};

use super::client;
use crate::{
    args::{Global, delivery as args},
    client::{Client, segment, with_query},
    exit::CliError,
    output::{self, age},
};

/// Longest file with a secret.
const SECRET_BYTES_MAX: u64 = 4096;

/// Runs the command.
pub async fn run(global: &Global, args: args::Token) -> Result<(), CliError> {
    match args {
        args::Token::Inspect { token } => inspected(global, &token_of(token)?),
        args::Token::Issue(asked) => {
            let issued: TokenIssued = client(global)?.post_json("/v1/tokens", &request(asked)?, None).await?;
            said(global, &issued);
        }
        args::Token::Renew { token, ttl } => {
            let request = RenewRequest { token: token_of(token)?, ttl_s: ttl };
            let issued: TokenIssued = client(global)?.post_json("/v1/tokens/renew", &request, None).await?;
            said(global, &issued);
        }
        args::Token::Revoke(args::Revoke { session, account, tenant }) => {
            let request = RevokeRequest { tenant: tenant_of(tenant)?, session, account };
            let revoked: RevocationView = client(global)?.post_json("/v1/tokens/revoke", &request, None).await?;
            if global.json {
                output::json(&revoked);
            } else {
                output::line(format!("{} is revoked", what(&revoked)));
            }
        }
        args::Token::Revoked => {
            let all: Vec<RevocationView> = client(global)?.list("/v1/revocations").await?;
            if global.json {
                output::json(&all);
                return Ok(());
            }
            let rows = all.iter().map(|one| vec![one.tenant.to_string(), what(one), age(one.until_ms)]);
            output::table(&["tenant", "revoked", "age"], rows.collect(), "nothing is revoked");
        }
        args::Token::Audit { tenant, account, refused } => {
            let refused = refused.then_some("true");
            let query = [("tenant", tenant.as_deref()), ("account", account.as_deref()), ("refused", refused)];
            let all: Vec<AuditView> = client(global)?.list(&with_query("/v1/audit", &query)).await?;
            audit(global, &all);
        }
        args::Token::Key(key) => return keys(global, &client(global)?, key).await,
    }
    Ok(())
}

/// A token from the command line, or from stdin: there nobody else on the machine can read it.
fn token_of(argument: String) -> Result<String, CliError> {
    if argument != "-" {
        return Ok(argument);
    }
    let mut text = String::new();
    let bound = TOKEN_CHARS_MAX as u64 + 2;
    std::io::stdin()
        .take(bound)
        .read_to_string(&mut text)
        .map_err(|error| CliError::usage(format!("cannot read the token: {error}")).at("stdin"))?;
    Ok(text.trim().to_owned())
}

fn inspected(global: &Global, token: &str) {
    let found = inspect(token);
    if global.json {
        return output::json(&found);
    }
    let unknown = || "?".to_owned();
    output::line(format!(
        "format {}, key {}, algorithm {}, {} characters",
        found.format.map_or_else(unknown, |format| format.as_str().to_owned()),
        output::printable(&found.kid.unwrap_or_else(unknown)),
        output::printable(&found.algorithm.unwrap_or_else(unknown)),
        found.chars
    ));
    let claims = serde_json::to_string_pretty(&found.claims).expect("claims have string keys");
    output::line(output::printable(&claims));
    output::note("nothing of this was checked: an edge does");
}

/// What is asked, as the API takes it.
fn request(asked: args::Issue) -> Result<TokenRequest, CliError> {
    let channels: Result<Vec<ChannelId>, CliError> =
        asked.channels.iter().map(|name| parsed("--channel", name)).collect();
    let assets: Result<Vec<AssetId>, CliError> = asked.assets.iter().map(|id| parsed("--asset", id)).collect();
    Ok(TokenRequest {
        tenant: tenant_of(asked.tenant)?,
        account: asked.account,
        paths: asked.paths,
        channels: channels?,
        assets: assets?,
        address: asked.address,
        region: asked.region,
        origins: asked.origins,
        ttl_s: asked.ttl,
        format: asked.format.into(),
        sessions_max: asked.sessions_max,
        yields: asked.yields.map(Into::into),
        session: asked.session,
    })
}

fn parsed<T: std::str::FromStr>(flag: &str, text: &str) -> Result<T, CliError>
where
    T::Err: std::fmt::Display,
{
    text.parse().map_err(|error| CliError::usage(format!("{text:?}: {error}")).at(flag).mend("correct it"))
}

fn tenant_of(tenant: Option<String>) -> Result<Option<Tenant>, CliError> {
    tenant.map(|tenant| parsed("--tenant", &tenant)).transpose()
}

fn said(global: &Global, issued: &TokenIssued) {
    if global.json {
        return output::json(issued);
    }
    output::line(&issued.token);
    output::note(format!("session {}, for {}", issued.session, issued.paths.join(", ")));
    output::note(format!("put /t/<token> before the path, or send it as {}=<token>", query_name(issued)));
}

/// The name of the query that carries it.
fn query_name(issued: &TokenIssued) -> &str {
    issued.query.split('=').next().unwrap_or_default()
}

fn what(revoked: &RevocationView) -> String {
    match (&revoked.session, &revoked.account) {
        (Some(session), _) => format!("session {session}"),
        (None, Some(account)) => format!("account {account}"),
        (None, None) => "?".to_owned(),
    }
}

fn audit(global: &Global, all: &[AuditView]) {
    if global.json {
        return output::json(&all);
    }
    let rows = all.iter().map(|entry| {
        vec![
            age(entry.last_ms),
            entry.tenant.to_string(),
            entry.account.clone(),
            entry.what.as_str().to_owned(),
            entry.refused.clone().unwrap_or_else(|| "done".to_owned()),
            entry.count.to_string(),
            entry.paths.first().cloned().unwrap_or_default(),
            entry.addresses.join(" "),
        ]
    });
    let header = ["age", "tenant", "account", "what", "came to", "times", "path", "address"];
    output::table(&header, rows.collect(), "nothing is written down");
}

async fn keys(global: &Global, client: &Client, args: args::TokenKey) -> Result<(), CliError> {
    match args {
        args::TokenKey::Create { tenant, algorithm, scope, kid, secret_file, keep } => {
            let request = TokenKeyRequest {
                tenant: tenant_of(tenant)?,
                algorithm: algorithm.into(),
                scope: (!scope.is_empty()).then_some(scope),
                kid,
                secret: secret_file.map(|file| secret_of(&file)).transpose()?,
                keep,
            };
            let key: TokenKeyView = client.post_json("/v1/token-keys", &request, None).await?;
            if global.json {
                output::json(&key);
            } else {
                output::line(&key.kid);
                output::note(format!("its tokens may name {}", key.scope.join(", ")));
            }
        }
        args::TokenKey::Ls { tenant } => {
            let query = with_query("/v1/token-keys", &[("tenant", tenant.as_deref())]);
            let all: Vec<TokenKeyView> = client.list(&query).await?;
            if global.json {
                output::json(&all);
                return Ok(());
            }
            let rows = all.iter().map(|key| {
                let scope = key.scope.join(" ");
                let state = key.state.as_str().to_owned();
                vec![
                    key.kid.clone(),
                    key.tenant.to_string(),
                    algorithm_name(key.algorithm).to_owned(),
                    state,
                    age(key.created_ms),
                    scope,
                ]
            });
            output::table(&["kid", "tenant", "algorithm", "state", "age", "scope"], rows.collect(), "no token keys");
        }
        args::TokenKey::Retire { kid, now } => {
            let path = format!("/v1/token-keys/{}/retire", segment(&kid));
            let path = with_query(&path, &[("after_s", now.then_some("0"))]);
            let key: TokenKeyView = client.post(&path).await?;
            if global.json {
                output::json(&key);
            } else {
                output::line(format!("{kid} is {}", key.state.as_str()));
            }
        }
    }
    Ok(())
}

/// A secret out of a file; never from the command line, which everybody on the machine can read.
fn secret_of(file: &Path) -> Result<String, CliError> {
    let place = file.display().to_string();
    let fault = |what: String| CliError::usage(what).at(&place).mend("name a file with a secret in base64");
    let meta = std::fs::metadata(file).map_err(|error| fault(format!("cannot read the secret: {error}")))?;
    if !meta.is_file() || meta.len() > SECRET_BYTES_MAX {
        return Err(fault(format!("the secret is no file of up to {SECRET_BYTES_MAX} bytes")));
    }
    let text = std::fs::read_to_string(file).map_err(|error| fault(format!("cannot read the secret: {error}")))?;
    Ok(text.trim().to_owned())
}

const fn algorithm_name(algorithm: Algorithm) -> &'static str {
    match algorithm {
        Algorithm::Hs256 => "hs256",
        Algorithm::Es256 => "es256",
        Algorithm::EdDsa => "ed_dsa",
    }
}
