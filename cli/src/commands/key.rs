//! `framemill key`: who may do what.

use std::path::Path;

use framemill_scheduler::access::{self, KeyError};
use framemill_schemas::{
    api::{AccessRole, KeyCreated, KeyRequest, KeyView},
    ids::Tenant,
};

use super::client;
use crate::{
    args::{Global, operate},
    client::segment,
    config::load,
    exit::{CliError, Exit},
    farm::{nats, startup},
    output::{self, age},
};

/// Runs the command.
pub async fn run(global: &Global, args: operate::Key) -> Result<(), CliError> {
    match args {
        operate::Key::Create { tenant, role, label, direct, data } => {
            let tenant: Tenant = tenant
                .parse()
                .map_err(|error| CliError::usage(format!("{error}")).at("--tenant").mend("correct the name"))?;
            let request = KeyRequest { tenant, role: role.into(), label };
            let created: KeyCreated = if direct {
                create_directly(global, data.as_deref(), request).await?
            } else {
                client(global)?.post_json("/v1/keys", &request, None).await?
            };
            if global.json {
                output::json(&created);
            } else {
                output::line(&created.token);
                output::note("this is the only time the key is shown; use it as FRAMEMILL_API_KEY");
            }
        }
        operate::Key::Ls => {
            let keys: Vec<KeyView> = client(global)?.list("/v1/keys").await?;
            if global.json {
                output::json(&keys);
                return Ok(());
            }
            let rows = keys.iter().map(|key| {
                vec![
                    key.id.clone(),
                    key.tenant.to_string(),
                    role_name(key.role).to_owned(),
                    age(key.created_ms),
                    key.label.clone(),
                ]
            });
            output::table(&["id", "tenant", "role", "age", "label"], rows.collect(), "no keys");
        }
        operate::Key::Revoke { id } => {
            client(global)?.delete(&format!("/v1/keys/{}", segment(&id))).await?;
            if global.json {
                output::json(&serde_json::json!({ "id": id }));
            } else {
                output::line(format!("{id} is revoked"));
            }
        }
    }
    Ok(())
}

/// Makes a key in the farm's records, past the API: whoever may write there may do anything anyway.
async fn create_directly(global: &Global, data: Option<&Path>, request: KeyRequest) -> Result<KeyCreated, CliError> {
    let settings = load::effective(global.config.as_deref())?;
    let mut nats = settings.nats.to_queue();
    // Without an address, the server of the `up` that runs on this machine.
    if settings.nats.url.is_none() || data.is_some() {
        nats.url = nats::running(data.unwrap_or(&settings.data))?;
    }
    let queue = startup::queue(&nats).await?;
    access::create_key(&queue, request, output::now_ms()).await.map_err(|error| match error {
        KeyError::Label => CliError::usage(error.to_string()).at("--label"),
        KeyError::Full => CliError::new(Exit::Refused, error.to_string()),
        KeyError::Records(error) => CliError::failed(format!("cannot write the key: {error}")).at(nats.shown()),
    })
}

const fn role_name(role: AccessRole) -> &'static str {
    match role {
        AccessRole::Viewer => "viewer",
        AccessRole::Issuer => "issuer",
        AccessRole::Operator => "operator",
        AccessRole::Admin => "admin",
    }
}
