package pocketgan.effects

import android.graphics.ImageFormat
import android.graphics.Rect
import android.media.Image
import java.nio.ByteBuffer

/**
 * A camera's frame: a YUV picture with half of the colour pixels in each direction, however its planes are laid out.
 *
 * @property planes Y, U (Cb) and V (Cr); the last two of half the width and height, rounded up.
 * @property rotationDegrees how far it has to be turned clockwise to be upright: 0, 90, 180 or 270. For a camera
 *   `(SENSOR_ORIENTATION - the screen's rotation + 360) % 360`, for a front camera with + instead of -.
 * @property mirrored whether left and right are swapped once it is upright, as people expect of a front camera.
 * @property crop the part that counts, null for all of it.
 * @throws IllegalArgumentException there are not three planes, a plane is too short, or the rotation is another.
 */
class YuvFrame @JvmOverloads constructor(
    val width: Int,
    val height: Int,
    val planes: List<Plane>,
    val rotationDegrees: Int = 0,
    val mirrored: Boolean = false,
    val colours: YuvColours = YuvColours.JFIF,
    val crop: Rect? = null,
) {
    /**
     * Bytes from the buffer's position on.
     *
     * @property rowStride bytes from one row to the next.
     * @property pixelStride bytes from one pixel to the next: 2 where U and V lie interleaved.
     */
    class Plane(buffer: ByteBuffer, val rowStride: Int, val pixelStride: Int) {
        internal val bytes: ByteBuffer = buffer.slice()
    }

    init {
        require(planes.size == 3) { "a YUV frame has three planes, not ${planes.size}" }
        require(rotationDegrees in setOf(0, 90, 180, 270)) { "rotation of $rotationDegrees degrees; it is a quarter turn's" }
        for (index in planes.indices) {
            val (plane, columns, rows) = Triple(planes[index], width(index), height(index))
            // The last row may end with its last pixel.
            val needed = (rows - 1) * plane.rowStride + (columns - 1) * plane.pixelStride + 1
            require(plane.bytes.capacity() >= needed) {
                "plane $index has ${plane.bytes.capacity()} bytes, ${columns}x$rows pixels need $needed"
            }
        }
        require(crop == null || (!crop.isEmpty && Rect(0, 0, width, height).contains(crop))) {
            "crop $crop of a frame of ${width}x$height"
        }
    }

    internal fun width(plane: Int): Int = if (plane == 0) width else (width + 1) / 2

    internal fun height(plane: Int): Int = if (plane == 0) height else (height + 1) / 2

    companion object {
        /**
         * The frame in [image], which must stay open until it has been used.
         *
         * @throws IllegalArgumentException its format is not YUV_420_888.
         */
        @JvmStatic
        @JvmOverloads
        fun of(image: Image, rotationDegrees: Int, mirrored: Boolean = false, colours: YuvColours = coloursOf(image)): YuvFrame {
            require(image.format == ImageFormat.YUV_420_888) {
                "an image of format ${image.format}; open the ImageReader with ImageFormat.YUV_420_888"
            }
            val planes = image.planes.map { Plane(it.buffer, it.rowStride, it.pixelStride) }
            return YuvFrame(image.width, image.height, planes, rotationDegrees, mirrored, colours, image.cropRect)
        }
    }
}
