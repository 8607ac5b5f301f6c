//! Who runs a job.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::ids::NodeId;

/// One start of one process on a node, running one attempt under a nonce. A restarted process is
/// another holder: it does not know the nonces of the one before.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Holder {
    /// The machine.
    pub node: NodeId,
    /// The start of the process.
    #[schema(value_type = String, example = "0198c0de-0000-7000-8000-000000000000")]
    pub process: Uuid,
    /// The claim.
    #[schema(value_type = String, example = "0198c0de-0000-7000-8000-000000000000")]
    pub nonce: Uuid,
}
