// What a program may get wrong, and what it is told. Usage: bad_input DIRECTORY

#include <atomic>
#include <thread>
#include <vector>

#include "zmon.hpp"

namespace {

std::string order(const std::string &directory, const std::string &pin)
{
    return "{\"directory\":\"" + directory + "\",\"deviceId\":\"ZM-001\",\"deviceSerial\":\"SN-1\"," +
        "\"firmwareVersion\":\"1.2.3\",\"proximity\":true,\"administrator\":{\"operator\":\"admin\",\"pin\":\"" +
        pin + "\"}}";
}

zmon_status make(const std::string &text, Buffer &answer)
{
    return zmon_device_make(text.data(), text.size(), answer.out());
}

zmon_status open(const std::string &text, zmon_device &device, Buffer &problem)
{
    return zmon_device_open(text.data(), text.size(), nullptr, nullptr, &device, problem.out());
}

void null_pointers(zmon_device device)
{
    Buffer answer;
    zmon_device other = 7;
    CHECK(zmon_device_make(nullptr, 3, answer.out()) == ZMON_STATUS_NULL_POINTER);
    CHECK(answer.says("\"field\":\"order\"") && answer.says("\"rule\":\"must not be null\""));
    CHECK(zmon_device_make(nullptr, 3, nullptr) == ZMON_STATUS_NULL_POINTER);
    CHECK(zmon_device_make(nullptr, 0, nullptr) == ZMON_STATUS_MALFORMED);
    CHECK(zmon_device_open(nullptr, 3, nullptr, nullptr, &other, answer.out()) == ZMON_STATUS_NULL_POINTER);
    CHECK(other == 0);
    CHECK(zmon_device_open("{}", 2, nullptr, nullptr, nullptr, answer.out()) == ZMON_STATUS_NULL_POINTER);
    CHECK(answer.says("\"field\":\"device\""));
    CHECK(zmon_device_call(device, nullptr, 3, "{}", 2, answer.out()) == ZMON_STATUS_NULL_POINTER);
    CHECK(zmon_device_call(device, "status", 6, nullptr, 2, answer.out()) == ZMON_STATUS_NULL_POINTER);
    CHECK(zmon_device_call(device, "status", 6, "{}", 2, nullptr) == ZMON_STATUS_NULL_POINTER);
    CHECK(zmon_device_call(device, "status", 6, nullptr, 0, answer.out()) == ZMON_STATUS_OK);
    CHECK(zmon_device_properties(device, nullptr) == ZMON_STATUS_NULL_POINTER);
    CHECK(zmon_device_qr_png(device, nullptr) == ZMON_STATUS_NULL_POINTER);
    zmon_buffer_free(nullptr);
    zmon_buffer twice{nullptr, 0};
    CHECK(zmon_device_properties(device, &twice) == ZMON_STATUS_OK && twice.data != nullptr);
    zmon_buffer_free(&twice);
    zmon_buffer_free(&twice);
    CHECK(twice.data == nullptr && twice.length == 0);
}

void texts(zmon_device device)
{
    Buffer answer;
    zmon_device other = 0;
    CHECK(make("\xff\xfe", answer) == ZMON_STATUS_NOT_UTF8);
    CHECK(open("\xff", other, answer) == ZMON_STATUS_NOT_UTF8);
    CHECK(call(device, "stat\xff", "{}", answer) == ZMON_STATUS_NOT_UTF8 && answer.says("\"field\":\"method\""));
    CHECK(call(device, "status", "\xff", answer) == ZMON_STATUS_NOT_UTF8 && answer.says("\"field\":\"params\""));
    for (const char *method : {"", "enter", "events", "Status", "status\":{},\"cancel"}) {
        CHECK(call(device, method, "{}", answer) == ZMON_STATUS_UNKNOWN_METHOD);
    }
    for (const char *params : {"{", "[]", "null", "1", "{}}", "{},\"cancel\":{}", "{\"a\":1}", "{\"a\":1,\"a\":1}"}) {
        CHECK(call(device, "status", params, answer) == ZMON_STATUS_MALFORMED);
        CHECK(answer.says("\"code\":\"request_malformed\"") && answer.says("\"field\":\"params"));
    }
    CHECK(call(device, "enterProvisioningMode", "{\"operator\":\"admin\"}", answer) == ZMON_STATUS_MALFORMED);
    CHECK(answer.says("\"field\":\"params.pin\""));
    CHECK(call(device, "enterProvisioningMode", "{\"operator\":\"admin\",\"pin\":" + std::string(70000, '1') + "}",
               answer) == ZMON_STATUS_MALFORMED);
    CHECK(answer.says("\"code\":\"request_too_large\""));
    const std::string deep = std::string(5000, '[') + std::string(5000, ']');
    CHECK(call(device, "status", deep, answer) == ZMON_STATUS_MALFORMED);
}

void configurations(const std::string &directory)
{
    Buffer answer;
    zmon_device other = 0;
    for (const char *text : {"", "{}", "[]", "{\"directory\":1}", "{\"directory\":\"x\",\"more\":1}",
                             "{\"directory\":\"x\",\"settings\":{\"listen\":\"here\"}}",
                             "{\"directory\":\"x\",\"settings\":{\"device_id\":\"ZM-2\"}}"}) {
        CHECK(open(text, other, answer) == ZMON_STATUS_MALFORMED && other == 0);
        CHECK(answer.says("\"field\":"));
    }
    CHECK(open("{\"directory\":\"/nowhere\"}", other, answer) == ZMON_STATUS_REFUSED);
    CHECK(answer.says("\"code\":\"not_initialised\"") && answer.says("/nowhere"));
    CHECK(open("{\"directory\":\"" + directory + "\"}", other, answer) == ZMON_STATUS_REFUSED);
    CHECK(answer.says("\"code\":\"state_conflict\""));
    CHECK(open("{\"directory\":\"" + directory + "\",\"settings\":{\"window_minutes\":61}}", other, answer) ==
          ZMON_STATUS_REFUSED);
    CHECK(answer.says("\"field\":\"window_minutes\""));
    CHECK(make(order(directory, "48392017"), answer) == ZMON_STATUS_REFUSED);
    CHECK(answer.says("\"code\":\"state_conflict\""));
    CHECK(make(order(directory + "-weak", "123456"), answer) == ZMON_STATUS_REFUSED);
    CHECK(answer.says("\"code\":\"pin_too_weak\""));
    CHECK(make("{\"directory\":\"x\"}", answer) == ZMON_STATUS_MALFORMED && answer.says("\"field\":\"deviceId\""));
}

// Calls from many threads while one closes: each is answered or refused, none hangs.
void closing_under_load(zmon_device device)
{
    std::atomic<int> odd{0}, answered{0};
    std::vector<std::thread> threads;
    std::atomic<bool> warm{false};
    for (int number = 0; number < 4; ++number) {
        threads.emplace_back([&] {
            Buffer answer;
            zmon_status status = ZMON_STATUS_OK;
            while (status == ZMON_STATUS_OK) {
                status = call(device, "status", "{}", answer);
                answered += status == ZMON_STATUS_OK;
                warm = true;
            }
            odd += status != ZMON_STATUS_CLOSED;
        });
    }
    while (!warm) std::this_thread::yield();
    CHECK(zmon_device_close(device, nullptr) == ZMON_STATUS_OK);
    for (auto &thread : threads) thread.join();
    CHECK(odd == 0 && answered > 0);
    for (const zmon_device none : {device, zmon_device{0}, device + 1, ~zmon_device{0}}) {
        Buffer answer;
        CHECK(call(none, "status", "{}", answer) == ZMON_STATUS_CLOSED && answer.says("\"field\":\"device\""));
        CHECK(zmon_device_qr_png(none, answer.out()) == ZMON_STATUS_CLOSED);
        CHECK(zmon_device_close(none, answer.out()) == ZMON_STATUS_CLOSED);
    }
}

}  // namespace

int main(int argc, char **argv)
{
    CHECK(argc == 2);
    const std::string directory = argv[1];
    Buffer answer;
    zmon_device device = 0;
    CHECK(make(order(directory, "48392017"), answer) == ZMON_STATUS_OK && answer.says("\"identityKey\":"));
    CHECK(open("{\"directory\":\"" + directory + "\"}", device, answer) == ZMON_STATUS_OK && device != 0);
    null_pointers(device);
    texts(device);
    configurations(directory);
    closing_under_load(device);
    std::cout << "ok" << std::endl;
}
