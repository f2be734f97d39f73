// libvramd in hands that do everything wrong; each line on standard output is something that did not hold. Run by test_client_hostile.py.
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <iostream>
#include <memory>
#include <stdexcept>
#include <vramd.hpp>

using namespace vramd::client;

namespace {
void hold(bool holds, const std::string& what) {
    if (!holds) std::cout << what << std::endl;
}

void say_what_cannot_be_said(const std::string& socket, Client& client) {
    const auto refused = [](const std::optional<Error>& error, const std::string& field) {
        hold(error && error->code == "invalid-field" && error->field == field,
             field + ": " + (error ? error->code + ", " + error->message : "taken"));
    };
    const auto error_of = [](const auto& result) { return result ? std::optional<Error>() : result.error(); };
    LoadOptions load;
    load.tensors = {"bytes", "\xff"};
    AllocateOptions allocate;
    allocate.purpose = "\xc3";
    refused(error_of(client.load("\x80.safetensors")), "/model");
    refused(error_of(client.load("m", load)), "/tensors");
    refused(error_of(client.allocate(1, allocate)), "/purpose");
    refused(error_of(client.allocate(0)), "/sizeBytes");
    refused(error_of(client.attach("")), "/allocationId");
    refused(client.free("\xed\xa0\x80"), "/allocationId");
    refused(error_of(Client::connect(socket, "\xf0\x9f")), "/client");
    refused(error_of(Client::connect(socket, std::string(127, 'a') + "\xc3\xa4")), "/client");
    const auto nowhere = Client::connect("/" + std::string(200, 'x'));
    hold(!nowhere && nowhere.error().code == "disconnected", "a path that is too long");
}

void break_off_loads(Client& client) {
    LoadOptions options;
    options.path = "eight.safetensors";
    options.progress = [](const Progress&) { throw std::runtime_error("mine"); };
    try {
        (void)client.load("thrown", options);
        hold(false, "what progress throws is lost");
    } catch (const std::runtime_error& error) {
        hold(std::strcmp(error.what(), "mine") == 0, error.what());
    }
    std::string code;
    options.path = "two.safetensors";
    options.progress = [&](const Progress&) {
        const auto made = client.allocate(4096);
        code = made ? "allocated" : made.error().code;
    };
    hold(client.load("nested", options).has_value(), "a load in whose progress something was asked");
    hold(code == "conflict", "asking in a load's progress: " + code);
}

void move_and_outlive(const std::string& socket) {
    auto client = std::make_unique<Client>(*Client::connect(socket));
    Model model = *client->load("two.safetensors");
    Model taken = std::move(model);
    hold(model.data() == nullptr && model.size_bytes() == 0 && model.name().empty() && model.tensors().empty() && !model.find("bytes"),
         "a model moved from");  // NOLINT
    char byte = 0;
    hold(model.copy_out(taken.tensors().front(), &byte).has_value(), "copying out of a model moved from");
    Allocation allocation = *client->allocate(4096);
    Allocation kept = std::move(allocation);
    hold(allocation.data() == nullptr && allocation.id().empty() && allocation.size_bytes() == 0, "an allocation moved from");  // NOLINT
    Client other = std::move(*client);
    hold(!client->load("two.safetensors") && !client->allocate(1) && !client->attach("a") && client->free("a") && client->devices().empty(),
         "a client moved from");
    client.reset();
    { const Client gone = std::move(other); }
    std::memset(kept.data(), 7, kept.size_bytes());
    hold(taken.find("bytes")->data == taken.data() && kept.data()[4095] == std::byte{7}, "what outlives its client");
}

/// A child that ends as programs do costs its parent nothing, and one that lives does not keep a connection that its parent has ended.
void fork_children(const std::string& socket) {
    auto client = std::make_unique<Client>(*Client::connect(socket));
    auto asked = std::make_unique<Client>(*Client::connect(socket, "asked", [](const ReclaimRequest&) {}));
    auto made = std::make_unique<Allocation>(*client->allocate(4096));
    auto also = std::make_unique<Allocation>(*asked->allocate(4096));
    const pid_t ends = fork();
    if (ends == 0) {
        hold(!client->allocate(1) && !asked->allocate(1), "a child's call on its parent's connection");
        made.reset(), also.reset(), client.reset(), asked.reset();
        _exit(0);
    }
    int status = -1;
    hold(waitpid(ends, &status, 0) == ends && status == 0, "a child that lets go of everything");
    auto watcher = *Client::connect(socket);
    hold(watcher.attach(made->id()).has_value() && watcher.attach(also->id()).has_value(), "what a parent has when its child ended");
    hold(client->allocate(1).has_value() && asked->allocate(1).has_value(), "a parent's call when its child ended");

    std::string line;
    std::cout << "before" << std::endl;  // Whoever runs this counts the daemon's descriptors.
    std::getline(std::cin, line);
    auto shared = std::make_unique<Client>(*Client::connect(socket));
    int pipes[2] = {-1, -1};
    hold(pipe(pipes) == 0, "a pipe");
    const pid_t lives = fork();
    if (lives == 0) {
        char byte = 0;
        (void)close(pipes[1]);
        (void)!read(pipes[0], &byte, 1);
        _exit(0);
    }
    shared.reset();
    std::cout << "after" << std::endl;
    std::getline(std::cin, line);
    (void)close(pipes[1]);
    hold(waitpid(lives, &status, 0) == lives && status == 0, "a child that lives");
}
}  // namespace

int main(int, char** arguments) {
    const std::string socket = arguments[1];
    auto client = Client::connect(socket);
    if (!client) return 1;
    say_what_cannot_be_said(socket, *client);
    break_off_loads(*client);
    move_and_outlive(socket);
    fork_children(socket);
    return 0;
}
