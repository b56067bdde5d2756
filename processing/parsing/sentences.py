"""What more than one reader has to say to the uploader."""

DAMAGED = "This file is damaged or not what its name says; save it again and upload the result."
ENCRYPTED = "This file is protected by a password; remove the protection and upload it again."
