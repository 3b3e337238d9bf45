"""Where the Android app lies in a wheel that was built with it (`make wheel`), with the licences of its parts."""
