package pocketgan.effects

import android.hardware.DataSpace
import android.media.Image
import android.os.Build

/**
 * What the numbers of a YUV picture mean: [red] and [blue] are their shares of the brightness; in the full range all of
 * 0 to 255 is used, else 16 to 235, and 16 to 240 for colour (ITU-R BT.601 and BT.709).
 */
enum class YuvColours(internal val red: Double, internal val blue: Double, internal val isFull: Boolean) {
    /** Android's cameras: BT.601 in the full range (`DataSpace.DATASPACE_JFIF`, ITU-T T.871). */
    JFIF(0.299, 0.114, true),

    /** Video of standard definition. */
    BT601(0.299, 0.114, false),

    /** Video of high definition, as decoders give it. */
    BT709(0.2126, 0.0722, false),

    /** The same in the full range. */
    BT709_FULL(0.2126, 0.0722, true),
}

/** What the image says of itself, from Android 13 on; where it does not, it is a camera's. */
internal fun coloursOf(image: Image): YuvColours =
    if (Build.VERSION.SDK_INT >= Build.VERSION_CODES.TIRAMISU) coloursOf(dataSpaceOf(image)) else YuvColours.JFIF

@NewerThanAndroid8
private fun dataSpaceOf(image: Image): Int = image.dataSpace

@NewerThanAndroid8
internal fun coloursOf(dataSpace: Int): YuvColours {
    val full = DataSpace.getRange(dataSpace) != DataSpace.RANGE_LIMITED
    return when (DataSpace.getStandard(dataSpace)) {
        DataSpace.STANDARD_BT709 -> if (full) YuvColours.BT709_FULL else YuvColours.BT709
        else -> if (full) YuvColours.JFIF else YuvColours.BT601
    }
}
