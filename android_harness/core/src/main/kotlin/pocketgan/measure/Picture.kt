package pocketgan.measure

import java.nio.FloatBuffer
import pocketgan.bundle.ColourSpace
import pocketgan.bundle.DType
import pocketgan.bundle.Layout
import pocketgan.bundle.TensorSpec

/** Whether an app converts pixels itself: a float32 NCHW RGB tensor. Pixel entries take the picture as it is. */
fun needsConversion(spec: TensorSpec): Boolean =
    spec.layout == Layout.NCHW && spec.colourSpace == ColourSpace.RGB && spec.dtype == DType.FLOAT32 &&
        spec.shape.size == 4 && spec.shape[0] == 1L && spec.shape[1] == 3L

/** Whether a tensor is a picture as it is: NHWC, RGB, a byte for each colour. */
fun isPixels(spec: TensorSpec): Boolean =
    spec.layout == Layout.NHWC && spec.colourSpace == ColourSpace.RGB && spec.dtype == DType.UINT8 &&
        spec.shape.size == 4 && spec.shape[0] == 1L && spec.shape[3] == 3L

/**
 * From a picture to a float32 NCHW tensor and back, as an app does it around every inference.
 *
 * A picture is (height, width, 3) bytes of RGB. Buffers are made once and filled anew.
 */
class PictureConverter(spec: TensorSpec) {
    private val pixels = Math.toIntExact(spec.shape[2] * spec.shape[3])
    private val low = (spec.valueRange?.get(0) ?: 0.0).toFloat()
    private val scale: Float
    private val levels: Float

    init {
        val (black, white) = spec.valueRange ?: listOf(0.0, 1.0)
        scale = ((white - black) / 255).toFloat()
        levels = (255 / (white - black)).toFloat()
    }

    /** Bytes of a picture. */
    val pictureBytes: Int get() = 3 * pixels

    /** Fill [tensor] with the values of [picture], between black and white. */
    fun toTensor(picture: ByteArray, tensor: FloatBuffer) {
        for (channel in 0 until 3) {
            var from = channel
            val start = channel * pixels
            for (pixel in 0 until pixels) {
                tensor.put(start + pixel, (picture[from].toInt() and 0xff) * scale + low)
                from += 3
            }
        }
    }

    /** Fill [picture] with the bytes of [tensor]; values outside of black and white are clipped. */
    fun toPicture(tensor: FloatBuffer, picture: ByteArray) {
        for (channel in 0 until 3) {
            var to = channel
            val start = channel * pixels
            for (pixel in 0 until pixels) {
                val level = (tensor.get(start + pixel) - low) * levels + 0.5f
                picture[to] = level.coerceIn(0f, 255f).toInt().toByte()
                to += 3
            }
        }
    }
}
