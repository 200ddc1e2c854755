//! Public keys, and tokens of `ann` until 2100 that were signed with OpenSSL; the private keys are nowhere.

pub(super) const RSA: &str = "\
    -----BEGIN PUBLIC KEY-----\n\
    MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEA5vTJSG0wf+2eK07BaGUl\n\
    /C6xUItkNsIq038nQMDPrT3fez3RwEFHzZowaS1LTbLpkAX3BU3S3FDvNs8fD21s\n\
    SGM+8e3qUShG3y8BHVIbvCE/lOpPsHa58OalCMEiYZ6EuK3KMCb8ryu1ewL49Kkg\n\
    Z7E2q4di3abvZFmKlJG9/DE+dZYPCpX8JCS3U2Wxlvv5+eJCZH4dQjByWzLvVGZr\n\
    7jUKsNnqcgXaCgDhVug4Cx38lOKRe7NwnmW9Y5yo3SyvbMfe1zDNMR8wpymC/EEe\n\
    YpkPLzFuwRMsYDMAJKKCVcFmiC4C17f+aJqPqlnZV34NynQbqbG766OpqrVQCZBC\n\
    KwIDAQAB\n\
    -----END PUBLIC KEY-----";

/// RS256.
pub(super) const RSA_TOKEN: &str = "\
    eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJhbm4iLCJleHAiOjQxMDI0NDQ4MDB9.UUnW5oPTlGQUXcmPflU-B5XjnPyy9jW4\
    wb0t9G0-sOLFhw4WYySUOAJhJ79ZuiIyL6uQ4EPhaWckGdsB8lG5OxThTallBCvVUxmujEu4ywRo7hCZct2jpY-pWihdSTyI4g8u8AghaEnGgQ\
    1uNhaUeUBltdLYV9MXt3Z0Sze54PvxMVW98yCnnJaeabLVc7JEhA5YVZHXXXu9sMJ-SAps-021bWoF7R3Ez-qiTCMx80xWUDsbSOAphEgKSMoO\
    UVJikSgYH52PzmmYUuLX4eGU3BdkNkXYR8C3x-ya0EjPpl3tV1JB0isah6TtMAJ7XGHTI7IG4o7EW8ey5knEmVuXqQ";

/// PS256.
pub(super) const RSA_PSS_TOKEN: &str = "\
    eyJhbGciOiJQUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJhbm4iLCJleHAiOjQxMDI0NDQ4MDB9.HZnDcWiSYnjIm59qQjJ3ydlADkb1I8Xe\
    sb5VNL7EXxOPNDAwSIrDfRC9lsIgRjQVi1zZGkBq4AGb4CBBtHYJ2GRAYfAf2Ax1wTK8wbV3uFsO3cBDrNd8g9LF8xOSRJlNOtU5QT4dq2pWaC\
    iLv4fGFzb2dg8kMjUwQc9nxK6UnG8LZ4Ou-ANn-y8_tENTMPXpec7UmxxAKtgmskPyAAz_wE1XrN8fxPMTZj7b7Y8CQXc5gVALKNwOf1AZuSBM\
    Q4Mj8JziM0r9G-f9rNYcYbNvyE9Bj42dy1sV23STwNpnqz8CJrrcuAsK6tMo1Znn7h5QHL9i7n5GywfiAv7cQnmJTg";

/// Of the curve P-256.
pub(super) const EC: &str = "\
    -----BEGIN PUBLIC KEY-----\n\
    MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEaXgtwzk9NVhmFTqZdeA0fUQ/K+jX\n\
    PxbPkkmd3VpVgxSo4eLUiQwAWMe9YfsppI5YWpqYFIbN4ws90PGc3x/pXA==\n\
    -----END PUBLIC KEY-----";

/// ES256.
pub(super) const EC_TOKEN: &str = "\
    eyJhbGciOiJFUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJhbm4iLCJleHAiOjQxMDI0NDQ4MDB9.06lGgzW3cReIox4KPyhkVDupyq8UbYvH\
    1J0fQUgABx_TtbgsLZeZaEjSGTaI-Q6sDnEsi2cb7AvOgTbIY6z4vw";
