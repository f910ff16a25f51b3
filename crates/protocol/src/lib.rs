//! Sans-IO state machines of device and Central Station.
