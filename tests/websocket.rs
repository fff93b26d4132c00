//! WebSocket, with the real server.
#![cfg(feature = "server")]

mod support;

use support::client::Client;
use support::server::Server;

#[test]
fn users_of_both_transports_talk_with_each_other() {
    let server = Server::start(&[]);
    let [mine, theirs] = server.users(2);
    // On either shard one of each transport: half of them are handed over.
    for (browser, other) in [(&mine[0], &theirs[0]), (&theirs[1], &mine[1])] {
        let mut browser_client = Client::connect_websocket(&server, browser, "browser");
        let mut other_client = Client::connect(&server, other, "phone");
        for round in 0..3 {
            let text = format!("message {round}");
            browser_client.publish(&format!("direct:{other}"), &text);
            assert_eq!(other_client.message().text(), text);
            let long = "long ".repeat(1 << (4 * round));
            other_client.publish(&format!("direct:{browser}"), &long);
            assert_eq!(browser_client.message().text(), long);
        }
    }
    assert_eq!(server.metric("campanile_upgrades_total", ""), 2);
}
