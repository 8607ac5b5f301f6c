//! `framemill tenant` and `framemill account`: who may watch what.

use std::path::Path;

use framemill_schemas::{
    delivery::{AccountDocument, AccountView, Standing, TenantDocument, TenantView},
    field_error::FieldError,
    live::Moment,
};
use serde_json::Value;

use super::client;
use crate::{
    args::{Global, delivery as args},
    client::{Client, segment},
    exit::CliError,
    output::{self, age},
};

/// Longest file with a tenant: what the API takes.
const TENANT_BYTES_MAX: u64 = 256 * 1024;

/// Runs `framemill tenant`.
pub async fn run(global: &Global, args: args::Tenant) -> Result<(), CliError> {
    let client = client(global)?;
    match args {
        args::Tenant::Apply { file } => {
            let tenant = apply(&client, &file).await?;
            if global.json {
                output::json(&tenant);
            } else {
                output::line(format!("tenant {}: {}", tenant.tenant, summary(&tenant)));
            }
        }
        args::Tenant::Ls => {
            let all: Vec<TenantView> = client.list("/v1/tenants").await?;
            if global.json {
                output::json(&all);
                return Ok(());
            }
            let rows = all.iter().map(|tenant| {
                let parent = tenant.document.parent.as_ref().map_or_else(|| "-".to_owned(), ToString::to_string);
                let state = standing(tenant.document.state).to_owned();
                let (name, summary) = (tenant.document.name.clone(), summary(tenant));
                vec![tenant.tenant.to_string(), parent, state, age(tenant.changed_ms), summary, name]
            });
            let header = ["tenant", "parent", "state", "age", "has", "name"];
            output::table(&header, rows.collect(), "no tenant has a record");
        }
        args::Tenant::Show { id } => {
            let tenant: TenantView = client.get(&path(&id)).await?;
            if global.json {
                output::json(&tenant);
            } else {
                output::line(output::printable(&pretty(&tenant)));
            }
        }
        args::Tenant::Rm { id } => {
            client.delete(&path(&id)).await?;
            removed(global, "tenant", &id);
        }
    }
    Ok(())
}

/// Runs `framemill account`.
pub async fn account(global: &Global, args: args::Account) -> Result<(), CliError> {
    let client = client(global)?;
    match args {
        args::Account::Apply { account, tenant, packages, suspended, end, sessions_max } => {
            let document = AccountDocument {
                packages: (!packages.is_empty()).then_some(packages),
                state: if suspended { Standing::Suspended } else { Standing::Active },
                end_ms: end.as_deref().map(end_of).transpose()?,
                sessions_max,
            };
            let found: AccountView = client.put_json(&account_path(&tenant, &account), &document).await?;
            if global.json {
                output::json(&found);
            } else {
                output::line(format!("account {account} of {tenant}: {}", standing(found.document.state)));
            }
        }
        args::Account::Ls { tenant } => {
            let all: Vec<AccountView> = client.list(&format!("{}/accounts", path(&tenant))).await?;
            if global.json {
                output::json(&all);
                return Ok(());
            }
            let rows = all.iter().map(|account| {
                let packages = account.document.packages.as_ref().map_or_else(|| "all".to_owned(), |all| all.join(" "));
                let state = standing(account.document.state).to_owned();
                vec![account.account.clone(), state, age(account.changed_ms), packages]
            });
            output::table(&["account", "state", "age", "packages"], rows.collect(), "no account has a record");
        }
        args::Account::Show { account, tenant } => {
            let found: AccountView = client.get(&account_path(&tenant, &account)).await?;
            if global.json {
                output::json(&found);
            } else {
                output::line(output::printable(&pretty(&found)));
            }
        }
        args::Account::Rm { account, tenant } => {
            client.delete(&account_path(&tenant, &account)).await?;
            removed(global, "account", &account);
        }
    }
    Ok(())
}

fn path(tenant: &str) -> String {
    format!("/v1/tenants/{}", segment(tenant))
}

fn account_path(tenant: &str, account: &str) -> String {
    format!("{}/accounts/{}", path(tenant), segment(account))
}

/// Sends a document; the id in it becomes the address.
async fn apply(client: &Client, file: &Path) -> Result<TenantView, CliError> {
    let place = file.display().to_string();
    let mut document = read(file)?;
    let id = document.as_object_mut().and_then(|fields| fields.remove("tenant"));
    let Some(id) = id.as_ref().and_then(Value::as_str) else {
        return Err(CliError::usage("the document names no tenant").at(place).mend("write `tenant: NAME`"));
    };
    client.put_json(&path(id), &document).await.map_err(|error| match error.faults.is_empty() {
        true => error,
        // What is wrong stands in the file, not at the address it was sent to.
        false => CliError { place: Some(place), ..error },
    })
}

fn read(file: &Path) -> Result<Value, CliError> {
    let place = file.display().to_string();
    let fault = |what: String| CliError::usage(what).at(&place).mend("name a file with a tenant in it");
    let meta = std::fs::metadata(file).map_err(|error| fault(format!("cannot read the tenant: {error}")))?;
    if !meta.is_file() || meta.len() > TENANT_BYTES_MAX {
        return Err(fault(format!("the tenant is no file of up to {TENANT_BYTES_MAX} bytes")));
    }
    let text = std::fs::read_to_string(file).map_err(|error| fault(format!("cannot read the tenant: {error}")))?;
    let unread = |faults: Vec<FieldError>| {
        CliError::usage("the document cannot be read").at(&place).faults(faults).mend("correct the file")
    };
    TenantDocument::value_from_yaml(&text).map_err(unread)
}

/// Unix milliseconds of a time as people write it.
fn end_of(text: &str) -> Result<i64, CliError> {
    let end = Moment::Text(text.to_owned()).millis("/end_ms");
    end.map_err(|fault| CliError::usage(fault.detail).at("--end").mend(fault.mend))
}

fn summary(tenant: &TenantView) -> String {
    match &tenant.document.packages {
        None => "everything of its own".to_owned(),
        Some(packages) => format!("{} packages", packages.len()),
    }
}

const fn standing(state: Standing) -> &'static str {
    match state {
        Standing::Active => "active",
        Standing::Suspended => "suspended",
    }
}

fn pretty(value: &impl serde::Serialize) -> String {
    serde_json::to_string_pretty(value).expect("documents have string keys and finite numbers")
}

fn removed(global: &Global, what: &str, id: &str) {
    if global.json {
        output::json(&serde_json::json!({ what: id }));
    } else {
        output::line(format!("{what} {id} is removed"));
    }
}
