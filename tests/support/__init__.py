"""What several test folders share: small real things (a PKI, a fake CA's server), never mocks."""
