//! `framemill dead`: jobs whose attempts are spent. They are kept until someone decides.

use framemill_schemas::api::{JobView, Redriven};

use super::{client, job};
use crate::{
    args::{Global, operate::Dead},
    client::segment,
    exit::{CliError, Exit},
    output,
};

/// Runs the command.
pub async fn run(global: &Global, args: Dead) -> Result<(), CliError> {
    let client = client(global)?;
    match args {
        Dead::Ls => job::list(global, &client.list("/v1/dead").await?, "no dead jobs"),
        Dead::Show { id } => {
            let found: JobView = client.get(&format!("/v1/jobs/{}", segment(&id))).await?;
            if found.state != framemill_schemas::job::JobState::Dead {
                return Err(CliError::new(Exit::NotFound, format!("the job is {}, not dead", found.state.as_str()))
                    .at(format!("job {id}"))
                    .mend("show it with `framemill job show`"));
            }
            job::show(global, &found);
        }
        Dead::Redrive { id } => {
            let answer: Redriven = client.post(&format!("/v1/dead/{}/redrive", segment(&id))).await?;
            if global.json {
                output::json(&answer);
            } else {
                output::line(format!("{} is ready again", answer.job));
            }
        }
        Dead::Drop { id } => {
            client.delete(&format!("/v1/dead/{}", segment(&id))).await?;
            if global.json {
                output::json(&serde_json::json!({ "job": id }));
            } else {
                output::line(format!("{id} is given up"));
            }
        }
    }
    Ok(())
}
