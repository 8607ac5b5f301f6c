//! Three servers, three copies of everything: a job survives the loss of any one of them.

use std::{
    fs,
    net::TcpListener,
    process::{Child, Command, Stdio},
};

use framemill_queue::{NatsConfig, Queue};
use framemill_schemas::{job::JobState, lane::Priority};
use tempfile::TempDir;

use crate::{
    server::{binary, eventually},
    worker::{Worker, hint_goes, output, reaches, submit},
};

struct Cluster {
    _dir: TempDir,
    servers: Vec<Child>,
    config: NatsConfig,
}

impl Cluster {
    fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        // Held together, so that no two are the same.
        let free: Vec<_> = (0..6).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
        let ports: Vec<u16> = free.iter().map(|listener| listener.local_addr().unwrap().port()).collect();
        drop(free);
        let (clients, routes) = ports.split_at(3);
        let peers: Vec<_> = routes.iter().map(|port| format!("\"nats://127.0.0.1:{port}\"")).collect();
        let mut servers = Vec::new();
        for number in 0..3 {
            let store = dir.path().join(format!("store-{number}"));
            let file = dir.path().join(format!("{number}.conf"));
            let config = format!(
                "server_name: n{number}\nlisten: \"127.0.0.1:{}\"\nmax_payload: 8MB\n\
                 jetstream {{ store_dir: {:?}, sync_interval: always }}\n\
                 cluster {{ name: farm, listen: \"127.0.0.1:{}\", routes: [{}] }}\n",
                clients[number],
                store.display().to_string(),
                routes[number],
                peers.join(","),
            );
            fs::write(&file, config).unwrap();
            let log = fs::File::create(dir.path().join(format!("{number}.log"))).unwrap();
            let server = Command::new(binary()).arg("-c").arg(&file).stdout(Stdio::null()).stderr(log).spawn();
            servers.push(server.unwrap());
        }
        let urls: Vec<_> = clients.iter().map(|port| format!("nats://127.0.0.1:{port}")).collect();
        let config = NatsConfig { url: urls.join(","), replicas: 3, ..NatsConfig::default() };
        Self { _dir: dir, servers, config }
    }

    fn kill(&mut self, number: usize) {
        self.servers[number].kill().unwrap();
        self.servers[number].wait().unwrap();
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for server in &mut self.servers {
            let _ = server.kill();
            let _ = server.wait();
        }
    }
}

#[tokio::test]
async fn a_job_survives_the_loss_of_a_server() {
    let mut cluster = Cluster::start();
    let config = cluster.config.clone();
    let queue = eventually("the cluster takes clients", async || Queue::connect(&config).await.ok()).await;
    let other = Queue::connect(&config).await.unwrap();
    let mut worker = Worker::start(&other, "a", 1);
    let first = submit(&queue, "first", Priority::Standard).await;
    worker.next().await.end(Ok(output()));
    reaches(&queue, &first, JobState::Done).await;

    let second = submit(&queue, "second", Priority::Standard).await;
    let begun = worker.next().await;
    cluster.kill(0);
    begun.end(Ok(output()));
    let done = reaches(&queue, &second, JobState::Done).await;
    assert_eq!((done.attempt, done.spent), (1, 0));

    // Leaders may have moved; what is submitted now is run as well.
    let third = submit(&queue, "third", Priority::Standard).await;
    worker.next().await.end(Ok(output()));
    reaches(&queue, &third, JobState::Done).await;
    hint_goes(&queue, &third).await;
    worker.drained().await;
}
