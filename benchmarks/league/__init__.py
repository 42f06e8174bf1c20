"""The league: Ratchet's teacher beside other libraries, on the same labels, texts and cores, as resumable cells."""
