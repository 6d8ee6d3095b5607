//! Sessions and queues spread over several threads, with the writer on one of them: what the messages between threads
//! must not lose or reorder.

mod support;

use support::{Server, patient_pull, until};

#[actix::test]
async fn queues_on_several_threads_keep_every_message_in_order() {
    const QUEUES: i32 = 16;
    const ROUNDS: usize = 20;
    let server = Server::start_on(3).await;
    let mut clients = Vec::new();
    for _ in 0..4 {
        clients.push(server.client().await);
    }
    clients[0].make_topic("T", "16").await;
    for round in 0..ROUNDS {
        for queue in 0..QUEUES {
            for (number, client) in clients.iter_mut().enumerate() {
                let offset = client.send("T", queue, "", &format!("{round}-{number}")).await;
                assert_eq!(offset, (round * 4 + number) as i64);
            }
        }
    }
    for queue in 0..QUEUES {
        let found = until("all messages of a queue", async || {
            let found = clients[1].read_all("T", queue).await;
            (found.len() == ROUNDS * 4).then_some(found)
        })
        .await;
        for (place, (offset, body)) in found.iter().enumerate() {
            assert_eq!((*offset, body.as_str()), (place as u64, format!("{}-{}", place / 4, place % 4).as_str()));
        }
    }
    server.stop().await;
}

#[actix::test]
async fn a_pull_on_one_thread_wakes_for_a_send_on_another() {
    let server = Server::start_on(3).await;
    let mut sender = server.client().await;
    let mut waiters = Vec::new();
    sender.make_topic("T", "4").await;
    for queue in 0..4 {
        let mut client = server.client().await;
        let opaque = client.submit(11, &patient_pull("T", queue, 0, 20_000), b"").await;
        waiters.push((client, opaque));
    }
    for (queue, (waiter, opaque)) in waiters.iter_mut().enumerate() {
        sender.send("T", queue as i32, "", &format!("for {queue}")).await;
        assert_eq!(waiter.answer(*opaque).await.bodies(), [format!("for {queue}")]);
    }
    server.stop().await;
}
