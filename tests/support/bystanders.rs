//! Those who must not notice anything of what hostile peers do.

use campanile::wire::schema::RecordKind;

use super::client::Client;
use super::server::Server;

/// Two users on two shards, and a group of theirs.
pub struct Bystanders {
    pub clients: [Client; 2],
    names: [String; 2],
    exchanged: u64,
}

impl Bystanders {
    pub fn on(server: &Server) -> Bystanders {
        let names = server.users(1).map(|names| names[0].clone());
        let mut clients = names.each_ref().map(|name| Client::connect(server, name, "bystander"));
        clients[0].group_create("bystanders", false, false, &[&names[1]]);
        for client in &mut clients {
            client.record(RecordKind::added);
        }
        Bystanders { clients, names, exchanged: 0 }
    }

    /// A message each way.
    pub fn exchange(&mut self) {
        for (from, to) in [(0, 1), (1, 0)] {
            self.exchanged += 1;
            let ack = self.clients[from].publish(&format!("direct:{}", self.names[to]), "undisturbed");
            assert_eq!(ack.seq, self.exchanged);
            let got = self.clients[to].message();
            assert_eq!((got.text(), got.seq, &got.sender), ("undisturbed", ack.seq, &self.names[from]));
        }
    }
}
