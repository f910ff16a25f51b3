// The little that the C++ programs here share: texts of zmon.h as strings, and a test that says where.
#pragma once

#include <cstdlib>
#include <iostream>
#include <string>
#include <utility>

#include "zmon.h"

#define CHECK(condition)                                                                       \
    do {                                                                                       \
        if (!(condition)) {                                                                    \
            std::cerr << "FAILED: " << #condition << ", line " << __LINE__ << std::endl;       \
            std::exit(1);                                                                      \
        }                                                                                      \
    } while (false)

// A buffer of the library, freed once.
class Buffer {
public:
    Buffer() = default;
    Buffer(const Buffer &) = delete;
    Buffer &operator=(const Buffer &) = delete;
    ~Buffer() { zmon_buffer_free(&buffer_); }

    // Where a function writes; what was there before is freed.
    zmon_buffer *out()
    {
        zmon_buffer_free(&buffer_);
        return &buffer_;
    }

    std::string text() const { return {buffer_.data ? buffer_.data : "", buffer_.length}; }
    bool says(const std::string &part) const { return text().find(part) != std::string::npos; }

private:
    zmon_buffer buffer_{nullptr, 0};
};

inline zmon_status call(zmon_device device, const std::string &method, const std::string &params, Buffer &answer)
{
    return zmon_device_call(device, method.data(), method.size(), params.data(), params.size(), answer.out());
}
