"""How good generated pictures are: L1, FID, KID, LPIPS, mIoU."""
