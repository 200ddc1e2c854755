//! Vehicles on real roads, one MQTT client each.
