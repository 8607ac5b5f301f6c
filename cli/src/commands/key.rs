//! `framemill key`: who may do what.

use framemill_schemas::{
    api::{AccessRole, KeyCreated, KeyRequest, KeyView},
    ids::Tenant,
};

use super::client;
use crate::{
    args::{Global, operate},
    client::segment,
    exit::CliError,
    output::{self, age},
};

/// Runs the command.
pub async fn run(global: &Global, args: operate::Key) -> Result<(), CliError> {
    let client = client(global)?;
    match args {
        operate::Key::Create { tenant, role, label } => {
            let tenant: Tenant = tenant
                .parse()
                .map_err(|error| CliError::usage(format!("{error}")).at("--tenant").mend("correct the name"))?;
            let request = KeyRequest { tenant, role: role.into(), label };
            let created: KeyCreated = client.post_json("/v1/keys", &request, None).await?;
            if global.json {
                output::json(&created);
            } else {
                output::line(&created.token);
                output::note("this is the only time the key is shown; use it as FRAMEMILL_API_KEY");
            }
        }
        operate::Key::Ls => {
            let keys: Vec<KeyView> = client.list("/v1/keys").await?;
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
            client.delete(&format!("/v1/keys/{}", segment(&id))).await?;
            if global.json {
                output::json(&serde_json::json!({ "id": id }));
            } else {
                output::line(format!("{id} is revoked"));
            }
        }
    }
    Ok(())
}

const fn role_name(role: AccessRole) -> &'static str {
    match role {
        AccessRole::Viewer => "viewer",
        AccessRole::Operator => "operator",
        AccessRole::Admin => "admin",
    }
}
