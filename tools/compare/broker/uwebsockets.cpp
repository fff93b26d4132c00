// A broker over uWebSockets, as lean as its users would write it: topics are its own, and direct messages go by name. What it speaks stands in
// tools/load/src/peers/broker.rs. Built by tools/compare/uwebsockets.py; `broker PORT` serves on the loopback address until it is ended.

#include <cstdlib>
#include <iostream>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>

#include "App.h"

struct Session {
    // Where it stands among the names, if it has told one.
    std::unique_ptr<std::string> name;
};

using Socket = uWS::WebSocket<false, true, Session>;

struct Hash : std::hash<std::string_view> {
    using is_transparent = void;
};

static std::unordered_map<std::string, Socket *, Hash, std::equal_to<>> names;
static uWS::App *app;

// Verb, ref, and the length of the name that follows.
constexpr size_t REF = 8, HEAD = 1 + REF + 1;

// Publishes to a topic, or sends to a name; then acknowledges. Says whether the message is one.
static bool pass_on(Socket *ws, std::string_view message) {
    if (message.size() < HEAD) {
        return false;
    }
    size_t length = static_cast<unsigned char>(message[HEAD - 1]);
    if (message.size() < HEAD + length + 1) {
        return false;
    }
    std::string_view name = message.substr(HEAD, length), rest = message.substr(HEAD + length);
    if (message[0] == 'P') {
        app->publish(name, rest, uWS::OpCode::BINARY);
    } else if (auto found = names.find(name); found != names.end()) {
        found->second->send(rest, uWS::OpCode::BINARY);
    }
    char ack[1 + REF] = {'A'};
    message.copy(ack + 1, REF, 1);
    ws->send({ack, sizeof ack}, uWS::OpCode::BINARY);
    return true;
}

static void take(Socket *ws, std::string_view message) {
    char verb = message.empty() ? 0 : message[0];
    if (verb == 'N' && !ws->getUserData()->name) {
        ws->getUserData()->name = std::make_unique<std::string>(message.substr(1));
        names[*ws->getUserData()->name] = ws;
    } else if (verb == 'S') {
        ws->subscribe(message.substr(1));
    } else if ((verb != 'P' && verb != 'D') || !pass_on(ws, message)) {
        ws->end(1008, "not a verb of this broker");
    }
}

int main(int, char **arguments) {
    int port = arguments[1] ? std::atoi(arguments[1]) : 0;
    uWS::App server;
    app = &server;
    server.ws<Session>("/*", {
        .compression = uWS::DISABLED,
        .maxPayloadLength = 1 << 20,
        .idleTimeout = 120,
        // No message is ever left out: every delivery is counted.
        .maxBackpressure = 256 << 20,
        .message = [](auto *ws, std::string_view message, uWS::OpCode) { take(ws, message); },
        .close = [](auto *ws, int, std::string_view) {
            auto &name = ws->getUserData()->name;
            // A later connection may have taken the name.
            if (auto found = name ? names.find(*name) : names.end(); found != names.end() && found->second == ws) {
                names.erase(found);
            }
        },
    });
    server.listen("127.0.0.1", port, [&](auto *socket) {
        if (!socket) {
            std::cerr << "cannot listen on port " << port << std::endl;
            std::exit(1);
        }
    });
    server.run();
}
