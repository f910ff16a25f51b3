// A product in C++: makes a device, opens it, shows its code, and waits for its callback to say that the
// device is provisioned. `pair.py` is the station's side. Usage: pair DIRECTORY ANCHOR SITE PICTURE

#include <chrono>
#include <condition_variable>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <mutex>

#include "zmon.hpp"

namespace {

const std::string kPin = "48392017";

// What the callback has heard, for the thread that waits.
struct Heard {
    std::mutex mutex;
    std::condition_variable changed;
    zmon_device device = 0;
    bool provisioned = false;
    bool connected = false;
    bool completed = false;
    bool refused_close = false;
    int openings = 0;
    long events = 0;
};

// What is told first when a device is opened, and when it is opened again inside the library.
const std::string kAllProperties =
    "{\"propertiesChanged\":{\"names\":[\"provisioningState\",\"pairingCode\",\"qrCodeData\",\"expirationTime\","
    "\"errorMessage\",\"isProvisioned\",\"serverUrl\",\"certificateStatus\"]}}";

bool has(const std::string &json, const std::string &part) { return json.find(part) != std::string::npos; }

void on_event(void *user_data, const char *event, size_t length)
{
    auto &heard = *static_cast<Heard *>(user_data);
    const std::string json(event, length);
    CHECK(event[length] == '\0');
    std::unique_lock<std::mutex> lock(heard.mutex);
    const zmon_device device = heard.device;
    lock.unlock();
    bool provisioned = false;
    bool refused_close = false;
    if (device != 0) {
        // The library may be asked from its callback, but not closed.
        Buffer properties;
        CHECK(zmon_device_properties(device, properties.out()) == ZMON_STATUS_OK);
        provisioned = properties.says("\"provisioningState\":\"Provisioned\"");
        refused_close = zmon_device_close(device, nullptr) == ZMON_STATUS_IN_CALLBACK;
    }
    lock.lock();
    heard.events += 1;
    heard.openings += json == kAllProperties;
    heard.provisioned |= provisioned;
    heard.refused_close |= refused_close;
    heard.completed |= has(json, "\"provisioningCompleted\"");
    heard.connected |= has(json, "\"linkChanged\"") && has(json, "\"connected\":true");
    heard.changed.notify_all();
}

std::string quoted(const std::string &text) { return "\"" + text + "\""; }

// How many threads of the device there are that SIGPIPE cannot reach, as the kernel sees them.
int shielded_threads()
{
    int count = 0;
    for (const auto &task : std::filesystem::directory_iterator("/proc/self/task")) {
        std::string name, line;
        std::ifstream(task.path() / "comm") >> name;
        std::ifstream status(task.path() / "status");
        while (std::getline(status, line)) {
            if (line.rfind("SigBlk:", 0) != 0) continue;
            const auto blocked = std::stoull(line.substr(7), nullptr, 16);
            count += name == "zmon-device" && (blocked >> (SIGPIPE - 1) & 1) != 0;
        }
    }
    return count;
}

// A factory reset with a new identity: the library opens the device anew, under the same handle.
void new_identity(const std::string &configuration)
{
    Heard heard;
    Buffer answer;
    zmon_device device = 0;
    CHECK(zmon_device_open(configuration.data(), configuration.size(), on_event, &heard, &device, nullptr) ==
          ZMON_STATUS_OK);
    CHECK(call(device, "identity", "", answer) == ZMON_STATUS_OK && answer.says("\"identityKey\":"));
    const std::string before = answer.text();
    CHECK(call(device, "factoryReset",
               "{\"operator\":\"admin\",\"pin\":\"90274100\",\"confirmation\":\"ZM-042\",\"newIdentity\":true}",
               answer) == ZMON_STATUS_OK);
    {
        std::unique_lock<std::mutex> lock(heard.mutex);
        CHECK(heard.changed.wait_for(lock, std::chrono::seconds(60), [&heard] { return heard.openings == 2; }));
    }
    CHECK(call(device, "identity", "", answer) == ZMON_STATUS_OK && answer.text() != before);
    CHECK(call(device, "operators", "", answer) == ZMON_STATUS_OK && answer.text() == "{\"operators\":[]}");
    CHECK(zmon_device_close(device, nullptr) == ZMON_STATUS_OK);
}

}  // namespace

int main(int argc, char **argv)
{
    CHECK(argc == 5);
    const std::string directory = argv[1], anchor = argv[2], site = argv[3];
    CHECK(std::string(zmon_version()).find('.') != std::string::npos);
    // As a program that is not written in Rust starts: a closed connection would end it.
    CHECK(std::signal(SIGPIPE, SIG_DFL) != SIG_ERR);

    Buffer answer;
    const std::string order = "{\"directory\":" + quoted(directory) +
        ",\"deviceId\":\"ZM-042\",\"deviceSerial\":\"SN-2024-000042\",\"firmwareVersion\":\"1.2.3\"" +
        ",\"anchors\":[" + quoted(anchor) + "],\"site\":" + quoted(site) +
        ",\"administrator\":{\"operator\":\"admin\",\"pin\":\"90274100\"}" +
        ",\"technician\":{\"operator\":\"tina\",\"pin\":" + quoted(kPin) + "}}";
    CHECK(zmon_device_make(order.data(), order.size(), answer.out()) == ZMON_STATUS_OK);
    std::cout << answer.text() << std::endl;
    std::string registered;
    CHECK(std::getline(std::cin, registered));

    Heard heard;
    const std::string configuration = "{\"directory\":" + quoted(directory) + "}";
    zmon_device device = 0;
    const zmon_status opened = zmon_device_open(configuration.data(), configuration.size(), on_event, &heard,
                                                &device, answer.out());
    if (opened != ZMON_STATUS_OK) std::cerr << answer.text() << std::endl;
    CHECK(opened == ZMON_STATUS_OK && device != 0 && answer.text().empty());
    {
        std::lock_guard<std::mutex> lock(heard.mutex);
        heard.device = device;
    }

    CHECK(shielded_threads() >= 1);
    CHECK(zmon_device_qr_png(device, answer.out()) == ZMON_STATUS_REFUSED);
    CHECK(answer.says("\"code\":\"not_in_provisioning_mode\"") && answer.says("\"next\":"));
    CHECK(call(device, "enterProvisioningMode", "{\"operator\":\"tina\",\"pin\":\"11112222\"}", answer) ==
          ZMON_STATUS_REFUSED);
    CHECK(answer.says("\"code\":\"authentication_failed\""));
    CHECK(call(device, "operators", "", answer) == ZMON_STATUS_OK && answer.says("\"tina\""));
    CHECK(call(device, "enterProvisioningMode", "{\"operator\":\"tina\",\"pin\":\"" + kPin + "\"}", answer) ==
          ZMON_STATUS_OK);
    CHECK(answer.text() == "{}");
    CHECK(zmon_device_qr_png(device, answer.out()) == ZMON_STATUS_OK);
    std::ofstream(argv[4], std::ios::binary) << answer.text();
    CHECK(call(device, "qr", "{}", answer) == ZMON_STATUS_OK);
    std::cout << answer.text() << std::endl;

    // Nothing here sleeps: the callback says when.
    {
        std::unique_lock<std::mutex> lock(heard.mutex);
        const auto done = [&heard] {
            return heard.provisioned && heard.completed && heard.connected && heard.refused_close;
        };
        CHECK(heard.changed.wait_for(lock, std::chrono::seconds(60), done));
    }
    CHECK(zmon_device_properties(device, answer.out()) == ZMON_STATUS_OK);
    std::cout << answer.text() << std::endl;

    CHECK(zmon_device_close(device, answer.out()) == ZMON_STATUS_OK && answer.text().empty());
    const long events = heard.events;
    CHECK(zmon_device_close(device, answer.out()) == ZMON_STATUS_CLOSED);
    CHECK(zmon_device_properties(device, answer.out()) == ZMON_STATUS_CLOSED);
    CHECK(answer.says("\"field\":\"device\""));

    // It is the same device when it is opened again, and nobody is called for the one before.
    CHECK(zmon_device_open(configuration.data(), configuration.size(), nullptr, nullptr, &device, nullptr) ==
          ZMON_STATUS_OK);
    CHECK(zmon_device_properties(device, answer.out()) == ZMON_STATUS_OK);
    CHECK(answer.says("\"isProvisioned\":true"));
    CHECK(zmon_device_close(device, nullptr) == ZMON_STATUS_OK);
    CHECK(heard.events == events && heard.openings == 1);
    new_identity(configuration);
    std::cout << "{\"events\":" << events << "}" << std::endl;
}
